"""Compile: a step recorded once, and replayed without Python."""

from xpnet.compiler.compiled import Compiled, compile

__all__ = ["Compiled", "compile"]
