"""The practice ground: an embedded stack, loaders and a shop to try things on. Production never imports it."""
