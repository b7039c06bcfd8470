"""Stores of one test, as the stages' tests have them."""

from tests.segmentation.conftest import _own_folder, module_stores, stores

__all__ = ["_own_folder", "module_stores", "stores"]
