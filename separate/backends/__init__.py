"""The models behind the separator: one interface, and a module for each kind of model."""
