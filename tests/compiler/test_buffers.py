"""Buffers: lifetimes, and offsets in an arena that is hardly larger than it must be."""

import operator

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import xpnet
from tests.compiler.programs import SIZES, Builder, recorded_step
from xpnet.compiler.buffers import (
    ALIGNMENT,
    Block,
    assign,
    blocks_of,
    largest_live_set,
    roots_by_name,
    updated_in_place,
)
from xpnet.compiler.passes import cleaned
from xpnet.compiler.passes.chains import with_chains


def matrix():
    return np.ones((4, 16), "f")


def overlapping(blocks):
    """Pairs of blocks that are needed at the same time and share memory."""
    return [
        (x, y)
        for i, x in enumerate(blocks)
        for y in blocks[:i]
        if x.first <= y.last and y.first <= x.last
        if x.offset < y.offset + y.size and y.offset < x.offset + x.size
    ]


drawn_blocks = st.lists(
    st.builds(
        lambda size, first, length: Block(size, first, first + length),
        st.integers(1, 5000),
        st.integers(0, 20),
        st.integers(0, 8),
    ),
    max_size=25,
)


@given(blocks=drawn_blocks)
@settings(deadline=None)
def test_blocks_that_are_needed_at_once_do_not_overlap(blocks):
    size = assign(blocks)
    assert overlapping(blocks) == []
    assert all(block.offset % ALIGNMENT == 0 for block in blocks)
    assert all(block.offset >= 0 and block.offset + block.size <= size for block in blocks)
    assert size >= largest_live_set(blocks)


def test_the_largest_live_set_is_that_of_the_definition():
    blocks = [Block(64, 0, 2), Block(128, 1, 1), Block(256, 2, 4), Block(64, 3, 3)]
    assert largest_live_set(blocks) == max(64, 64 + 128, 64 + 256, 256 + 64, 256)


@pytest.mark.parametrize("optimizer", [xpnet.SGD, xpnet.Adam])
@pytest.mark.parametrize("name", SIZES)
def test_the_arena_of_a_model_is_within_a_fifth_of_its_largest_live_set(name, optimizer):
    program, *_ = recorded_step(name, lambda p: optimizer(p, lr=0.01))
    program = cleaned(program, "numpy")
    roots = roots_by_name(program)
    updates = updated_in_place(program, roots)
    assert set(updates) == set(program.updates)  # nothing is copied at the end of the step
    blocks = blocks_of(program, roots, updates)
    size = assign(blocks)
    assert overlapping(blocks) == []
    assert size <= 1.2 * largest_live_set(blocks)


def test_a_view_keeps_the_memory_of_its_root():
    builder = Builder()
    x = builder.input("argument", matrix())
    y = builder.apply("sum", np.square, x)
    turned = builder.apply("matrix_transpose", np.matrix_transpose, y)
    part = builder.apply("getitem", operator.getitem, turned, slice(0, 2))
    builder.apply("sum", np.sum, x)
    builder.program.outputs = [builder.apply("sum", np.sum, part)]
    roots = roots_by_name(builder.program)
    assert roots == {turned: y, part: y}
    blocks = blocks_of(builder.program, roots, {})
    assert [(b.first, b.last) for b in blocks if y in b.values] == [(0, 4)]


def test_a_chain_writes_over_an_operand_that_nobody_reads_afterwards():
    builder = Builder()
    x = builder.input("argument", matrix())
    y = builder.apply("sum", np.square, x)
    z = builder.apply("tanh", np.tanh, y)
    builder.program.outputs = [builder.apply("sum", np.sum, z)]
    program = with_chains(builder.program)
    first, second = blocks_of(program, {}, {})
    assert len(first.values) == 2  # y, and the chain's result
    assert second.values == program.outputs


def test_an_operand_that_is_read_again_is_not_written_over():
    builder = Builder()
    x = builder.input("argument", matrix())
    y = builder.apply("sum", np.square, x)
    z = builder.apply("tanh", np.tanh, y)
    builder.program.outputs = [builder.apply("sum", np.sum, z), builder.apply("sum", np.sum, y)]
    blocks = blocks_of(with_chains(builder.program), {}, {})
    assert [len(block.values) for block in blocks] == [1, 1, 1, 1]


def test_a_state_that_is_read_after_its_update_is_not_updated_in_place():
    builder = Builder()
    x = builder.input("argument", matrix())
    p = builder.input("state", matrix())
    new = builder.apply("add", operator.add, p, x)
    builder.program.updates = {0: new}
    assert updated_in_place(with_chains(builder.program), {}).keys() == {0}
    builder.program.outputs = [builder.apply("sum", np.sum, p)]
    assert updated_in_place(with_chains(builder.program), {}) == {}


def test_a_state_that_is_read_through_a_view_is_not_updated_in_place():
    builder = Builder()
    p = builder.input("state", np.ones((4, 4), "f"))
    turned = builder.apply("matrix_transpose", np.matrix_transpose, p)
    builder.program.updates = {0: builder.apply("add", operator.add, p, turned)}
    program = with_chains(builder.program)
    assert updated_in_place(program, roots_by_name(program)) == {}


def test_a_product_does_not_write_over_its_operand():
    builder = Builder()
    p = builder.input("state", np.ones((4, 4), "f"))
    builder.program.updates = {0: builder.apply("matmul", operator.matmul, p, p)}
    assert updated_in_place(builder.program, {}) == {}


def test_states_that_are_exchanged_are_not_updated_in_place():
    builder = Builder()
    p = builder.input("state", matrix())
    q = builder.input("state", matrix())
    builder.program.updates = {0: q, 1: builder.apply("negative", operator.neg, p)}
    program = with_chains(builder.program)
    assert updated_in_place(program, {}) == {}
