"""Rewards: one file each, pure, named terms. The sum with its weights is the environment's."""
