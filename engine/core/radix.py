"""A radix tree over token lists: which sequence shares the longest beginning with a prompt.

`LinearIndex` is the same in ten lines and slower; the property tests compare the two.
"""

from __future__ import annotations


def common_prefix(a: list[int], b: list[int]) -> int:
    """Length of the longest common beginning. Compares slices, so it runs at C speed."""
    high = min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    low = 0  # a[:low] == b[:low], a[:high] != b[:high]
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low


class _Node:
    __slots__ = ("children", "edge", "owners")

    def __init__(self, edge: list[int], owners: set[int]) -> None:
        self.edge = edge  # tokens on the way from the parent to here
        self.owners = owners  # whose lists go through the whole edge
        self.children: dict[int, _Node] = {}

    def split(self, at: int) -> None:
        """Cut the edge in two; the lower part becomes the only child."""
        lower = _Node(self.edge[at:], set(self.owners))
        lower.children = self.children
        self.edge = self.edge[:at]
        self.children = {lower.edge[0]: lower}


class RadixIndex:
    """Token lists by owner (a slot), with longest-prefix lookup."""

    def __init__(self) -> None:
        self._root = _Node([], set())
        self._length: dict[int, int] = {}

    def length(self, owner: int) -> int:
        """Tokens indexed for `owner`."""
        return self._length.get(owner, 0)

    def insert(self, owner: int, tokens: list[int]) -> None:
        """Index `tokens`, of which what is there already must be a beginning."""
        node, at = self._root, 0
        while at < len(tokens):
            child = node.children.get(tokens[at])
            if child is None:
                node.children[tokens[at]] = _Node(tokens[at:], {owner})
                break
            edge = child.edge
            shared = common_prefix(edge, tokens[at : at + len(edge)])
            if shared < len(edge):
                child.split(shared)
            elif child.owners == {owner} and not child.children:
                child.edge = tokens[at:]  # its own leaf grows
                break
            child.owners.add(owner)
            node, at = child, at + shared
        self._length[owner] = len(tokens)

    def truncate(self, owner: int, tokens: list[int], length: int) -> None:
        """Forget all but the first `length` tokens of `owner`'s list `tokens`."""
        indexed = self._length.get(owner, 0)
        if length >= indexed:
            return
        node, at = self._root, 0
        while at < indexed:
            child = node.children[tokens[at]]
            end = at + len(child.edge)
            if end > length:
                if at < length:
                    child.split(length - at)
                    end = length
                else:
                    child.owners.discard(owner)
                    if not child.owners:
                        # Whoever is below went through here, so nobody else is below.
                        del node.children[tokens[at]]
                        break
            node, at = child, end
        if length:
            self._length[owner] = length
        else:
            self._length.pop(owner, None)

    def match(self, tokens: list[int]) -> tuple[int, frozenset[int]]:
        """Length of the longest indexed beginning of `tokens`, and who has all of it."""
        node, at = self._root, 0
        owners: set[int] = set()
        while at < len(tokens):
            child = node.children.get(tokens[at])
            if child is None:
                break
            shared = common_prefix(child.edge, tokens[at : at + len(child.edge)])
            owners, at = child.owners, at + shared
            if shared < len(child.edge):
                break
            node = child
        return at, frozenset(owners)

    def check(self) -> None:
        """Raise AssertionError if the tree is not well formed; for tests."""
        stack = [(self._root, True)]
        while stack:
            node, is_root = stack.pop()
            for first, child in node.children.items():
                assert child.edge and child.edge[0] == first
                assert child.owners
                assert is_root or child.owners <= node.owners
                stack.append((child, False))


class LinearIndex:
    """The oracle: a dictionary of lists, searched one by one."""

    def __init__(self) -> None:
        self._lists: dict[int, list[int]] = {}

    def length(self, owner: int) -> int:
        return len(self._lists.get(owner, []))

    def insert(self, owner: int, tokens: list[int]) -> None:
        self._lists[owner] = list(tokens)

    def truncate(self, owner: int, tokens: list[int], length: int) -> None:
        self._lists[owner] = self._lists.get(owner, [])[:length]

    def match(self, tokens: list[int]) -> tuple[int, frozenset[int]]:
        best, owners = 0, set[int]()
        for owner, held in self._lists.items():
            shared = next(
                (i for i, (a, b) in enumerate(zip(held, tokens, strict=False)) if a != b),
                min(len(held), len(tokens)),
            )
            if shared > best:
                best, owners = shared, {owner}
            elif shared == best and best:
                owners.add(owner)
        return best, frozenset(owners)
