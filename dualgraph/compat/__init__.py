"""compat: other libraries' functions and places over this package; `torch` is PyTorch's."""
