from fix_node import node

__all__ = ["node"]
