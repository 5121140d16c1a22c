//! Those who are not to be known any more: an address in the form of a user id of no country stands in their place.

use uuid::Uuid;

use super::{Address, Recipient};

/// How such an address begins; `ZZ` is the code of no country.
const ERASED: &str = "ZZ.erased";

impl Recipient {
    /// Returns whom a message was for that is not to be known any more.
    #[must_use]
    pub fn erased(id: Uuid) -> Self {
        Self(Address::Named(format!("{ERASED}{}", id.as_simple()).into()))
    }

    /// Tells whether it is somebody who is not to be known any more; nobody can be written to there.
    #[must_use]
    pub fn is_erased(&self) -> bool {
        self.as_str().starts_with(ERASED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_their_place_is_read_back() {
        let erased = Recipient::erased(Uuid::from_u128(7));
        assert_eq!(Recipient::from_stored(erased.as_str()), Some(erased.clone()));
        let known = Recipient::from_stored("919876543210").unwrap();
        assert_eq!((erased.is_erased(), known.is_erased()), (true, false));
    }
}
