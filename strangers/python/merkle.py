"""The Merkle tree of RFC 6962, section 2.1."""

import hashlib


def sha256(data):
    return hashlib.sha256(data).digest()


def leaf_hash(line):
    return sha256(b"\x00" + line)


def node_hash(left, right):
    return sha256(b"\x01" + left + right)


class Tree:
    """Keeps the root of every complete subtree (64 bytes a leaf), so that the root of any earlier
    size and the hashes of any tile can be looked up."""

    def __init__(self):
        self.size = 0
        self.levels = [bytearray()]

    def append(self, leaf):
        self.levels[0] += leaf
        self.size += 1
        level, count, subtree = 0, self.size, leaf
        while count % 2 == 0:
            subtree = node_hash(bytes(self.levels[level][-64:-32]), subtree)
            level, count = level + 1, count // 2
            if level == len(self.levels):
                self.levels.append(bytearray())
            self.levels[level] += subtree

    def hashes(self, level, first, count):
        """The roots of that many subtrees of 2^level leaves; fewer where the tree ends before."""
        row = self.levels[level] if level < len(self.levels) else b""
        return bytes(row[32 * first:32 * (first + count)])

    def root(self, size):
        """The root over the first `size` leaves: the subtrees of its binary digits, from the right."""
        root = None
        for level in range(size.bit_length()):
            if size >> level & 1:
                subtree = self.hashes(level, (size >> level) - 1, 1)
                root = subtree if root is None else node_hash(subtree, root)
        return sha256(b"") if root is None else root


def root_of_proof(leaf, index, size, path):
    """The root to which an inclusion proof leads (RFC 9162, section 2.1.3.2), or None if the path
    is not as long as it must be."""
    last, root = size - 1, leaf
    for sibling in path:
        if last == 0:
            return None
        if index % 2 or index == last:
            root = node_hash(sibling, root)
            while index % 2 == 0 and index:
                index, last = index >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        index, last = index >> 1, last >> 1
    return root if last == 0 else None


def roots_of_consistency(old_size, new_size, old_root, new_root, path):
    """The old and the new root to which a consistency proof leads (RFC 9162, section 2.1.4.2), or None if the
    path is not as long as it must be, or the sizes are the wrong way round."""
    if old_size > new_size or (path and old_size in (0, new_size)):
        return None
    if old_size in (0, new_size):
        return (new_root if old_size else sha256(b"")), new_root
    at, last = old_size - 1, new_size - 1
    while at % 2:
        at, last = at >> 1, last >> 1
    # A complete old tree is the first hash itself.
    path = path if at else [old_root, *path]
    if not path:
        return None
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return None
        if at % 2 or at == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while at % 2 == 0 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        at, last = at >> 1, last >> 1
    return (old, new) if last == 0 else None
