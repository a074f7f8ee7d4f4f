//! Keys: 128 bits that stand for the bytes that name a series on the wire.

/// Bytes of the secret that the hash function asks for.
pub const SECRET_BYTES: usize = 192;

/// A name of a series: of its label bytes, or of its symbols.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Key(pub(super) u128);

impl Key {
    /// Whether a series is one of those, one in 16, by which others are found that follow it.
    #[inline]
    pub fn is_leading(self) -> bool {
        self.0 as u64 & 15 == 0
    }

    /// The same series with `beside` beside its labels, where a change of it is to be seen: only the
    /// latest is known.
    pub fn with_beside(self, beside: Key) -> Key {
        const BESIDE: u128 = 0xffff << 64;
        Key(self.0 & !BESIDE | beside.0 & BESIDE)
    }
}

/// Makes keys.
#[derive(Clone, Debug)]
pub struct Keys {
    secret: [u8; SECRET_BYTES],
}

impl Keys {
    pub fn new(secret: [u8; SECRET_BYTES]) -> Keys {
        Keys { secret }
    }

    /// The key of `bytes`. About 15 ns for the labels of a series.
    #[inline]
    pub fn of(&self, bytes: &[u8]) -> Key {
        Key(xxhash_rust::xxh3::xxh3_128_with_secret(bytes, &self.secret))
    }

    /// 64 bits that stand for two texts, in this order. About 5 ns.
    #[inline]
    pub(super) fn content(&self, first: &[u8], second: &[u8]) -> u64 {
        let hash = |bytes| xxhash_rust::xxh3::xxh3_64_with_secret(bytes, &self.secret);
        let second = if second.is_empty() { 0 } else { hash(second).rotate_left(29) };
        hash(first).wrapping_add(second)
    }
}

/// A key of a sequence of pairs of keys: protocol 2 names labels by symbols.
///
/// Both halves are sums of products, one a pair, of name and value each shifted by their place, so
/// that the products do not wait for each other. (The scheme is NH, as in UMAC, RFC 4418; the keys
/// are random to whoever does not know the secret.)
#[derive(Clone, Copy, Debug, Default)]
pub struct Sequence {
    sums: [u128; 2],
    place: [u64; 2],
}

/// Odd numbers without a pattern: digits of the golden ratio and of the square root of two.
const PLACE_STEPS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0x6a09_e667_f3bc_c909];

impl Sequence {
    #[inline]
    pub fn push(&mut self, name: Key, value: Key) {
        let halves = |key: Key| [key.0 as u64, (key.0 >> 64) as u64];
        let (name, value) = (halves(name), halves(value));
        for lane in 0..2 {
            let place = self.place[lane].wrapping_add(PLACE_STEPS[lane]);
            self.place[lane] = place;
            let name = name[lane].wrapping_add(place);
            let value = value[lane].wrapping_add(place.rotate_left(32));
            self.sums[lane] = self.sums[lane].wrapping_add(u128::from(name) * u128::from(value));
        }
    }

    #[inline]
    pub fn key(self) -> Key {
        let fold = |sum: u128| (sum >> 64) as u64 ^ (sum as u64).rotate_left(32);
        Key(u128::from(fold(self.sums[0])) << 64 | u128::from(fold(self.sums[1])))
    }
}
