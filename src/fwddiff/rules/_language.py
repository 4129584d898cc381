"""The language of the table: too small to be misused, and checked when a row is made."""

import ast

from fwddiff._errors import ArgumentError

_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)
_COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
_HELP = (
    "A partial is made of the arguments, y (the value), pi, integers, + - * /, ** with an integer exponent, "
    "where(condition, a, b) with one comparison as condition, and the functions of fwddiff.rules.TABLE."
)


def parse_signature(text: str) -> tuple[str, tuple[str, ...]]:
    """`"atan2(a, b)"` → `("atan2", ("a", "b"))`; ArgumentError for any other form and for an argument `y`."""
    call = _parse(text, "the signature")
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)) or not call.args or call.keywords:
        raise ArgumentError(f"The signature {text!r} is not of the form 'name(a, b)': write it so.")
    arguments = tuple(argument.id if isinstance(argument, ast.Name) else "" for argument in call.args)
    wrong = {"", "y", "pi", "where"} & set(arguments)
    if wrong or len(set(arguments)) < len(arguments):
        raise ArgumentError(
            f"The arguments of {text!r} have to be different plain names, none of them y, pi or where: "
            "rename them."
        )
    return call.func.id, arguments


def check_partial(text: str, signature: str, arguments: tuple[str, ...], arities: dict[str, int]) -> None:
    """Raise ArgumentError where `text` is not of the language; `arities` has the known functions."""
    names = {*arguments, "y", "pi"}
    _check(_parse(text, f"the partial {text!r} of {signature}"), f"{text!r} of {signature}", names, arities)


def check_value(text: str, signature: str, names: set[str]) -> None:
    """Raise ArgumentError where `text` is not one Python expression in `names`."""
    tree = _parse(text, f"the value {text!r} of {signature}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in names:
            raise ArgumentError(
                f"In the value {text!r} of {signature}: unknown name {node.id!r}; known are the "
                "arguments and the functions of fwddiff.rules.scalar_namespace()."
            )


def _parse(text: str, what: str) -> ast.expr:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, AttributeError) as error:
        raise ArgumentError(f"Cannot read {what}: {text!r} is not one Python expression.") from error


def _check(node: ast.expr, where: str, names: set[str], arities: dict[str, int]) -> None:
    if isinstance(node, ast.BinOp) and isinstance(node.op, _OPERATORS):
        if isinstance(node.op, ast.Pow) and not _is_integer(node.right):
            raise ArgumentError(f"In {where}: ** takes an integer exponent; write pow(a, b) for any other.")
        children = [node.left, node.right]
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        children = [node.operand]
    elif isinstance(node, ast.Call):
        children = _arguments_of_call(node, where, arities)
    elif isinstance(node, ast.Name):
        if node.id not in names:
            raise ArgumentError(f"In {where}: unknown name {node.id!r}; known: {', '.join(sorted(names))}.")
        children = []
    elif _is_integer(node):
        children = []
    else:
        raise ArgumentError(f"In {where}: {ast.unparse(node)!r} is not allowed. {_HELP}")
    for child in children:
        _check(child, where, names, arities)


def _is_integer(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int


def _arguments_of_call(node: ast.Call, where: str, arities: dict[str, int]) -> list[ast.expr]:
    name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
    known = arities | {"where": 3}
    if name not in known:
        raise ArgumentError(f"In {where}: unknown function {name!r}; add a row for it first.")
    if node.keywords or len(node.args) != known[name]:
        raise ArgumentError(f"In {where}: {ast.unparse(node)!r}, but {name} takes {known[name]} arguments.")
    if name != "where":
        return node.args
    condition = node.args[0]
    if not isinstance(condition, ast.Compare) or not isinstance(condition.ops[0], _COMPARISONS):
        raise ArgumentError(f"In {where}: the condition {ast.unparse(condition)!r} is not a comparison.")
    if len(condition.ops) > 1:
        raise ArgumentError(f"In {where}: {ast.unparse(condition)!r} is more than one comparison.")
    return [condition.left, *condition.comparators, *node.args[1:]]
