"""Lesson 1: a computational graph, forward and backward.

A bill: 4 apples at 100 each, 3 mandarins at 70 each, and then a tax factor of 1.1. Every sum and
every product is a node. `forward` returns its value and remembers its inputs; `backward` takes
the gradient of the output, and returns the gradient of each input: an Add node passes the
gradient on, and a Multiply node multiplies it by the value of the other input.

    python examples/t1_computational_graph.py
    python examples/t1_computational_graph.py --backend torch --out pictures
"""

from common import begin

from xpnet import Add, Multiply, Variable
from xpnet.plots import dot

args, backend, _ = begin(__doc__, dtype="float64", needs=())

# --- by hand: node after node forward, then node after node backward ----------------------------

apples, mandarins, fruit, taxed = Multiply(), Multiply(), Add(), Multiply()

apple_total = apples.forward(100, 4)
mandarin_total = mandarins.forward(70, 3)
fruit_total = fruit.forward(apple_total, mandarin_total)
total = taxed.forward(fruit_total, 1.1)

d_fruit_total, d_tax = taxed.backward(1)
d_apple_total = d_mandarin_total = fruit.backward(d_fruit_total)
d_mandarin_price, d_mandarin_count = mandarins.backward(d_mandarin_total)
d_apple_price, d_apple_count = apples.backward(d_apple_total)

print("total", float(total))
print()
print("If this grows by 1, the total grows by ...")
print("apple price    ", float(d_apple_price))
print("apple count    ", float(d_apple_count))  # not quite 110: 1.1 has no exact binary form
print("mandarin price ", float(d_mandarin_price))
print("mandarin count ", float(d_mandarin_count))
print("apple total    ", float(d_apple_total))
print("mandarin total ", float(d_mandarin_total))
print("fruit total    ", float(d_fruit_total))
print("tax            ", float(d_tax))

# --- the same bill from Variables: the graph builds itself, so it can be drawn -----------------

bill = {
    "apple price": Variable(100.0),
    "apple count": Variable(4.0),
    "mandarin price": Variable(70.0),
    "mandarin count": Variable(3.0),
    "tax": Variable(1.1),
}
bill["apple total"] = bill["apple price"] * bill["apple count"]
bill["mandarin total"] = bill["mandarin price"] * bill["mandarin count"]
bill["fruit total"] = bill["apple total"] + bill["mandarin total"]
bill["total"] = bill["fruit total"] * bill["tax"]

graph = args.out / "t1_computational_graph.dot"
dot(bill["total"], bill, graph)  # with Graphviz installed, "....svg" writes a picture
print(f"\ngraph: {graph}")
print("To see it: dot -Tsvg -O FILE, or paste it into a viewer of Graphviz in the browser.")
