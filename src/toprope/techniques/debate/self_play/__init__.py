"""Self-play: debaters trained to win before a judge, and consultants trained the same way.

Arnesen, Rein and Michael 2024 (arXiv 2409.16636): judges of debates become more accurate when the
debaters are trained to win (+4 points), those of consultancies don't.
"""
