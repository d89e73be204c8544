"""Holds the policies that propose stages, one file each, and the trainer that makes new ones."""
