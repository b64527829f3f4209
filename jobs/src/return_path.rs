//! Return paths that tell which copy came back (VERP): `bounces+<delivery>-<tag>@example.com`.
//!
//! The tag proves that the address was made here, so that nobody can make copies fail whose return path they have not seen. It is
//! cut to 64 bits: a local part holds 64 characters (RFC 5321, section 4.5.3.1.1). All of it survives a change of case.

use lettre::Address;
use ring::hmac;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::id::DeliveryId;
use crate::seal::{KeyRing, SealError};

const PURPOSE: &str = "return path";
/// Hexadecimal digits of a tag.
const TAG: usize = 16;
/// Hexadecimal digits of a delivery.
const DELIVERY: usize = 32;
/// Longest local part that all of it can be put after.
const LONGEST: usize = 64 - DELIVERY - TAG - 2;

/// Reads the address that return paths are made of.
///
/// # Errors
/// Says what is wrong with the address.
pub fn base(text: &str) -> Result<Address, String> {
    let address: Address = text.trim().parse().map_err(|_| "is no e-mail address".to_owned())?;
    if address.user().len() > LONGEST {
        return Err(format!("must have at most {LONGEST} characters before the @: more are put after them"));
    }
    Ok(address)
}

/// The return path of one copy. `base` is what [`base`] read.
///
/// # Errors
/// There are no keys.
pub fn make(keys: &KeyRing, base: &Address, id: DeliveryId) -> Result<Address, SealError> {
    let proof = keys.proofs(PURPOSE, id.0.as_bytes()).next().ok_or(SealError::NoKeys)?;
    let local = format!("{}+{}-{}", base.user(), id.0.simple(), tag(proof.as_ref()));
    Address::new(local, base.domain()).map_err(|_| SealError::Failed)
}

/// The copy that this return path was made for; `None` where it was not made by one of these keys.
pub fn read(keys: &KeyRing, address: &str) -> Option<DeliveryId> {
    let (local, _) = address.trim().rsplit_once('@')?;
    let (_, made) = local.rsplit_once('+')?;
    let (delivery, given) = made.split_once('-')?;
    if delivery.len() != DELIVERY {
        return None;
    }
    let id = Uuid::try_parse(delivery).ok()?;
    let given = given.to_ascii_lowercase();
    let matches = |proof: hmac::Tag| bool::from(tag(proof.as_ref()).as_bytes().ct_eq(given.as_bytes()));
    keys.proofs(PURPOSE, id.as_bytes()).any(matches).then_some(DeliveryId(id))
}

fn tag(proof: &[u8]) -> String {
    proof.iter().take(TAG / 2).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;

    use super::*;
    use crate::seal;

    fn key() -> String {
        seal::new_key(&SystemRandom::new()).unwrap().expose().to_owned()
    }

    fn id() -> DeliveryId {
        DeliveryId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0007))
    }

    #[test]
    fn what_was_made_is_read_whatever_became_of_its_case() {
        let keys: KeyRing = key().parse().unwrap();
        let made = make(&keys, &base("herald-bounces@Example.com").unwrap(), id()).unwrap().to_string();
        assert!(made.starts_with("herald-bounces+019000000000700080000000000000"), "{made}");
        assert!(made.split_once('@').unwrap().0.len() <= 64, "{made}");
        for text in [made.clone(), made.to_uppercase(), format!(" {made} ")] {
            assert_eq!(read(&keys, &text), Some(id()), "{text}");
        }
        let later: KeyRing = format!("{}\n{}", key(), key()).parse().unwrap();
        assert_eq!(read(&later, &made), None, "another's keys");
    }

    #[test]
    fn the_tag_outlives_a_new_first_key_and_nothing_else_passes() {
        let old = key();
        let keys: KeyRing = old.parse().unwrap();
        let made = make(&keys, &base("b@example.com").unwrap(), id()).unwrap().to_string();
        let renewed: KeyRing = format!("{}\n{old}", key()).parse().unwrap();
        assert_eq!(read(&renewed, &made), Some(id()));
        let (local, tag) = made.split_once('@').unwrap().0.rsplit_once('-').unwrap();
        for forged in [
            String::new(),
            "b@example.com".to_owned(),
            format!("{local}@example.com"),
            format!("{local}-@example.com"),
            format!("{local}-{}@example.com", &tag[1..]),
            format!("{local}-{tag}0@example.com"),
            format!("{local}-{}@example.com", "0".repeat(16)),
            made.replacen("7-", "8-", 1),
            made.replace('+', "."),
        ] {
            assert_eq!(read(&renewed, &forged), None, "{forged}");
        }
        assert_eq!(read(&KeyRing::default(), &made), None);
        assert_eq!(make(&KeyRing::default(), &base("b@example.com").unwrap(), id()), Err(SealError::NoKeys));
    }

    #[test]
    fn an_address_that_is_too_long_or_none_is_refused() {
        for bad in ["", "bounces", "fifteen-letters@example.com", "a\r\nb@example.com"] {
            assert!(base(bad).is_err(), "{bad}");
        }
    }
}
