"""Arrays like another one: its library, its device, its shape and dtype. They have no history."""

from xpnet.functions.declare import constant

zeros_like = constant("zeros_like", "Zeros of the shape and dtype of x.")
ones_like = constant("ones_like", "Ones of the shape and dtype of x.")
full_like = constant("full_like", "`full_like(x, fill_value)`: one number everywhere.")
