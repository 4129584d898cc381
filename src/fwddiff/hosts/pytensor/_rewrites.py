"""Rewrites of whole graphs: partials give the value too, and unused derivatives are not computed."""

# PyTensor is an extra, which type checkers do not find.
# pyright: reportMissingImports=false

from __future__ import annotations

from typing import Any

from pytensor.compile.mode import optdb
from pytensor.graph.basic import Apply
from pytensor.graph.features import ReplaceValidate
from pytensor.graph.rewriting.basic import GraphRewriter
from pytensor.tensor.elemwise import Elemwise

from fwddiff.hosts.pytensor import _jax
from fwddiff.hosts.pytensor._arrays import ArrayRule
from fwddiff.hosts.pytensor._derivation import Derivation
from fwddiff.hosts.pytensor._elementwise import ScalarRule


def derivation_of(node: Apply) -> Derivation | None:
    """What rule a node applies, if any."""
    op: Any = node.op
    if isinstance(op, Elemwise):
        op = op.scalar_op
    return op.derivation if isinstance(op, ArrayRule | ScalarRule) else None


def same_kind(node: Apply, derivation: Derivation) -> Any:
    """The op that applies another rule as this node does."""
    op: Any = node.op
    return (
        Elemwise(ScalarRule(derivation)) if isinstance(op, Elemwise) else ArrayRule(derivation, op.batch_ndim)
    )


class OnePass(GraphRewriter):
    """Runs after simplification and before loops are fused."""

    def add_requirements(self, fgraph: Any) -> None:
        fgraph.attach_feature(ReplaceValidate())

    def apply(self, fgraph: Any) -> None:
        _jax.offer()
        for node in reversed(fgraph.toposort()):
            self._drop_unused(fgraph, node)
        for node in fgraph.toposort():
            self._share_values(fgraph, node)

    def _drop_unused(self, fgraph: Any, node: Apply) -> None:
        derivation = derivation_of(node)
        unused = [j for j, output in enumerate(node.outputs) if not fgraph.clients[output]]
        found = derivation.without(unused) if derivation and unused else None
        if found is None:
            return
        smaller, left = found
        results = same_kind(node, smaller)(*node.inputs, return_list=True)
        pairs = zip(left, results, strict=True)
        fgraph.replace_all_validate(
            [(node.outputs[j], new) for j, new in pairs if fgraph.clients[node.outputs[j]]],
            reason="fwddiff_drop_unused",
        )

    def _share_values(self, fgraph: Any, node: Apply) -> None:
        """The node of the value is replaced by the first outputs of that of the partials."""
        derivation = derivation_of(node)
        if derivation is None or derivation.kind != "partials" or not node.inputs:
            return
        assert derivation.base is not None
        op = same_kind(node, derivation.base)
        for client, _ in list(fgraph.clients[node.inputs[0]]):
            if isinstance(client, Apply) and client.op == op and client.inputs == node.inputs:
                pairs = list(zip(client.outputs, node.outputs, strict=False))
                fgraph.replace_all_validate(pairs, reason="fwddiff_share_values")


optdb.register("fwddiff_one_pass", OnePass(), "fast_run", position=47.5)
