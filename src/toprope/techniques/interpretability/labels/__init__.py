"""Labels: what a latent stands for in a few words, who writes them, and how they are scored."""
