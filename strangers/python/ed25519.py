"""Verifies Ed25519 signatures (RFC 8032, section 5.1.7). It cannot sign, so nothing here is secret
and nothing needs constant time. Run it by itself to check the test vectors of the RFC."""

import hashlib

PRIME = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
CURVE = -121665 * pow(121666, -1, PRIME) % PRIME
ROOT_OF_MINUS_ONE = pow(2, (PRIME - 1) // 4, PRIME)

# Points are (X, Y, Z, T) with x = X/Z, y = Y/Z, x*y = T/Z: adding them needs no division.
NEUTRAL = (0, 1, 1, 0)


def add(left, right):
    a = (left[1] - left[0]) * (right[1] - right[0]) % PRIME
    b = (left[1] + left[0]) * (right[1] + right[0]) % PRIME
    c = 2 * left[3] * right[3] * CURVE % PRIME
    d = 2 * left[2] * right[2] % PRIME
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % PRIME, g * h % PRIME, f * g % PRIME, e * h % PRIME)


def multiply(scalar, point):
    result = NEUTRAL
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def same(left, right):
    return ((left[0] * right[2] - right[0] * left[2]) % PRIME == 0
            and (left[1] * right[2] - right[1] * left[2]) % PRIME == 0)


def recover_x(y, sign):
    """The x of that sign with -x² + y² = 1 + d·x²·y², or None if y is on no point of the curve."""
    if y >= PRIME:
        return None
    square = (y * y - 1) * pow(CURVE * y * y + 1, -1, PRIME) % PRIME
    x = pow(square, (PRIME + 3) // 8, PRIME)
    if (x * x - square) % PRIME:
        x = x * ROOT_OF_MINUS_ONE % PRIME
    if (x * x - square) % PRIME or (x == 0 and sign):
        return None
    return x if x & 1 == sign else PRIME - x


def decode_point(data):
    number = int.from_bytes(data, "little")
    y = number & (1 << 255) - 1
    x = recover_x(y, number >> 255)
    return None if x is None else (x, y, 1, x * y % PRIME)


BASE = decode_point((4 * pow(5, -1, PRIME) % PRIME).to_bytes(32, "little"))


def verify(public_key, message, signature):
    if len(public_key) != 32 or len(signature) != 64:
        return False
    key, commitment = decode_point(public_key), decode_point(signature[:32])
    response = int.from_bytes(signature[32:], "little")
    # A response of ORDER or more would let anybody make a second signature out of a valid one.
    if key is None or commitment is None or response >= ORDER:
        return False
    # Under a key of small order one signature would fit many messages.
    if any(same(multiply(8, point), NEUTRAL) for point in (key, commitment)):
        return False
    digest = hashlib.sha512(signature[:32] + public_key + message).digest()
    challenge = int.from_bytes(digest, "little") % ORDER
    return same(multiply(response, BASE), add(commitment, multiply(challenge, key)))


# RFC 8032, section 7.1, tests 1 to 3: public key, message, signature.
VECTORS = [
    ("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
     "d25bf5f0595bbe24655141438e7a100b"),
    ("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
     "387b2eaeb4302aeeb00d291612bb0c00"),
    ("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
     "4a7c15e9716ed28dc027beceea1ec40a"),
]


def self_test():
    for public_key, message, signature in VECTORS:
        public_key, message, signature = map(bytes.fromhex, (public_key, message, signature))
        assert verify(public_key, message, signature)
        assert not verify(public_key, message + b"x", signature)
        assert not verify(public_key, message, signature[:63] + bytes([signature[63] ^ 1]))
        shifted = int.from_bytes(signature[32:], "little") + ORDER
        assert not verify(public_key, message, signature[:32] + shifted.to_bytes(32, "little"))


if __name__ == "__main__":
    self_test()
    print("ok: the test vectors of RFC 8032 hold")
