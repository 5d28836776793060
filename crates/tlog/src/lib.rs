//! RFC 6962 Merkle trees and the C2SP formats around them: bytes in, bytes out.
