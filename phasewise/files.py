"""What the command line writes, it writes whole or not at all."""

from envs.files import writable_folder, write_atomically, writing

__all__ = ["writable_folder", "write_atomically", "writing"]
