"""Sparse MNIST debate: Irving, Christiano and Amodei 2018, "AI safety via debate" (arXiv
1805.00899), section 3.1.

Two agents who see a digit reveal its pixels to a judge who sees nothing else: one for the truth,
one for a lie. A game is played by Monte Carlo tree search, or by agents trained on it.

- data: digits from files and the hub, split between the judge and debates.
- judge, training: the sparse classifier. scoring: its verdicts on many sets of pixels at once.
- boards, game: what can be revealed, and the rules.
- ordering, search, tree: all games' searches at once. search_plain: the same, one at a time.
- agents, learning: debaters without search. measuring: the judge's accuracy by protocol.
"""
