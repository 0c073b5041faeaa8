"""Compile: a step recorded once, and replayed without Python."""

from xpnet._each_step import each_step
from xpnet.compiler.compiled import Compiled, compile

__all__ = ["Compiled", "compile", "each_step"]
