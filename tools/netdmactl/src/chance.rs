//! Where test data comes from: a stream of numbers that a seed decides.

/// A source of numbers.
pub trait Chance {
    /// The next 64 bits.
    fn next(&mut self) -> u64;
}

/// Any function that gives numbers is a source of them.
impl<F: FnMut() -> u64> Chance for F {
    fn next(&mut self) -> u64 {
        self()
    }
}

/// A number below `bound`, which is not zero.
pub fn below(chance: &mut impl Chance, bound: u64) -> u64 {
    ((u128::from(chance.next()) * u128::from(bound)) >> 64) as u64
}

/// A generator (splitmix64: small, any seed will do).
#[derive(Debug, Clone)]
pub struct Generator(u64);

impl Generator {
    /// The numbers of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }
}

impl Chance for Generator {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
