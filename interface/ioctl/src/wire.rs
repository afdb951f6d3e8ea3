//! Structures as bytes, without unsafe code.

/// A structure that crosses the border as bytes.
pub trait Wire: Sized {
    /// Bytes of the structure.
    const SIZE: usize;

    /// The structure in the first [`SIZE`](Self::SIZE) bytes; `None` if there are fewer.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;

    /// Writes the structure to the first [`SIZE`](Self::SIZE) bytes; `None`, and nothing written, if there are fewer.
    fn write_to(&self, bytes: &mut [u8]) -> Option<()>;
}

/// A member of a structure.
pub(crate) trait Member: Sized {
    /// Takes the member off the front of `bytes`.
    fn take(bytes: &mut &[u8]) -> Option<Self>;

    /// Puts the member at the front of `bytes`, which then begins behind it.
    fn put(&self, bytes: &mut &mut [u8]) -> Option<()>;
}

macro_rules! numbers {
    ($($type:ty),+) => {$(
        impl Member for $type {
            fn take(bytes: &mut &[u8]) -> Option<Self> {
                let (head, rest) = bytes.split_first_chunk()?;
                *bytes = rest;
                Some(<$type>::from_le_bytes(*head))
            }

            fn put(&self, bytes: &mut &mut [u8]) -> Option<()> {
                let (head, rest) = core::mem::take(bytes).split_first_chunk_mut()?;
                *head = self.to_le_bytes();
                *bytes = rest;
                Some(())
            }
        }
    )+};
}

numbers!(u16, u32, u64);

impl<T: Member + Copy + Default, const N: usize> Member for [T; N] {
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let mut members = [T::default(); N];
        for member in &mut members {
            *member = T::take(bytes)?;
        }
        Some(members)
    }

    fn put(&self, bytes: &mut &mut [u8]) -> Option<()> {
        self.iter().try_for_each(|member| member.put(bytes))
    }
}

/// Declares a structure without padding, its conversion to bytes and back.
macro_rules! wire {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(C)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)+
        }

        // No padding: the members fill the structure, so it is the same for C.
        const _: () = assert!(size_of::<$name>() == 0 $(+ size_of::<$type>())+);

        impl $crate::Wire for $name {
            const SIZE: usize = size_of::<Self>();

            fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
                let bytes = &mut bytes;
                Some(Self { $($field: <$type as $crate::wire::Member>::take(bytes)?,)+ })
            }

            fn write_to(&self, bytes: &mut [u8]) -> Option<()> {
                let (mut bytes, _rest) = bytes.split_at_mut_checked(Self::SIZE)?;
                $($crate::wire::Member::put(&self.$field, &mut bytes)?;)+
                Some(())
            }
        }

        impl $name {
            /// The structure as bytes.
            #[must_use]
            pub fn to_bytes(&self) -> [u8; size_of::<Self>()] {
                let mut bytes = [0; size_of::<Self>()];
                let _always_fits = $crate::Wire::write_to(self, &mut bytes);
                bytes
            }
        }
    };
}

pub(crate) use wire;
