//! A pairing from its first code to its end, by a clock that the test moves.

use super::*;

const PHONE: &str = "919876543210";
const SECOND_US: u64 = 1_000_000;

fn world() -> (Devices, Uuid) {
    (Devices::new(7), Uuid::from_u128(1))
}

fn code(devices: &Devices, id: Uuid, now_us: u64) -> String {
    devices.qr(id, now_us).expect("a code waits").text
}

#[test]
fn codes_are_renewed_until_nobody_came() {
    let (mut devices, id) = world();
    devices.connect(id, 0).unwrap();
    let mut seen = std::collections::HashSet::new();
    let mut after = 0;
    for nth in 0..QRS_PER_PAIRING {
        let now_us = nth * QR_LIFETIME_US;
        let (changed, next) = devices.changed_after(after, now_us);
        assert_eq!(changed, [id], "each code is told");
        assert!(devices.changed_after(next, now_us + QR_LIFETIME_US - 1).0.is_empty(), "once");
        assert_eq!(devices.next_change_us(now_us), Some(now_us + QR_LIFETIME_US));
        after = next;
        let shown = devices.qr(id, now_us).unwrap();
        assert_eq!(shown.until_us, now_us + QR_LIFETIME_US);
        assert!(seen.insert(shown.text), "no code comes twice");
    }
    let end_us = QRS_PER_PAIRING * QR_LIFETIME_US;
    assert_eq!(devices.changed_after(after, end_us).0, [id]);
    assert_eq!(devices.get(id).unwrap().standing, Standing::Disconnected);
    assert_eq!((devices.qr(id, end_us), devices.next_change_us(end_us)), (None, None));
    devices.connect(id, end_us).unwrap();
    assert!(seen.insert(code(&devices, id, end_us)), "another pairing has other codes");
}

#[test]
fn a_code_pairs_while_it_is_shown() {
    let (mut devices, id) = world();
    devices.connect(id, 0).unwrap();
    let first = code(&devices, id, 0);
    assert_eq!(devices.scan(&first, PHONE, QR_LIFETIME_US), Err(No("No device shows this code.")), "it is too old");
    let second = code(&devices, id, QR_LIFETIME_US);
    assert_eq!(devices.scan(&second, PHONE, QR_LIFETIME_US), Ok(id));
    let device = devices.get(id).unwrap();
    assert_eq!((&device.standing, device.phone.as_deref()), (&Standing::Connected, Some(PHONE)));
    assert!(devices.scan(&second, PHONE, QR_LIFETIME_US).is_err(), "once");
}

#[test]
fn a_pairing_survives_a_disconnect_and_no_logout() {
    let (mut devices, id) = world();
    devices.connect(id, 0).unwrap();
    let shown = code(&devices, id, 0);
    devices.scan(&shown, PHONE, 0).unwrap();
    assert_eq!(devices.disconnect(id, 0).standing, Standing::Disconnected);
    assert_eq!(devices.connect(id, 0).unwrap().standing, Standing::Connected);
    assert_eq!(devices.log_out(id).standing, Standing::LoggedOut);
    assert!(matches!(devices.connect(id, 0).unwrap().standing, Standing::Pairing { .. }));
    assert_ne!(code(&devices, id, 0), shown);
}

#[test]
fn a_code_is_typed_in_on_its_own_phone() {
    let (mut devices, id) = world();
    assert!(devices.pairing_code(id, PHONE, 0).is_err(), "nobody pairs it");
    devices.connect(id, 0).unwrap();
    let typed = devices.pairing_code(id, PHONE, 0).unwrap();
    assert_eq!((typed.text.len(), typed.text.as_bytes()[4]), (9, b'-'));
    assert!(devices.type_in(&typed.text, "4915112345678", SECOND_US).is_err());
    assert!(devices.type_in("AAAA-AAAA", PHONE, SECOND_US).is_err());
    assert_eq!(devices.type_in(&typed.text, PHONE, SECOND_US), Ok(id));
    assert_eq!(devices.get(id).unwrap().standing, Standing::Connected);
}

#[test]
fn what_happens_from_outside_is_told() {
    let (mut devices, id) = world();
    assert!(devices.befall(id, Mishap::Lost).is_err());
    devices.connect(id, 0).unwrap();
    let shown = code(&devices, id, 0);
    devices.scan(&shown, PHONE, 0).unwrap();
    let mut after = devices.changed_after(0, 0).1;
    for (mishap, standing) in [
        (Mishap::Lost, Standing::Reconnecting),
        (Mishap::Back, Standing::Connected),
        (Mishap::Replaced, Standing::Replaced),
        (Mishap::LoggedOut, Standing::LoggedOut),
        (Mishap::Banned, Standing::Banned),
    ] {
        devices.befall(id, mishap).unwrap();
        let (changed, next) = devices.changed_after(after, 0);
        assert_eq!((changed, &devices.get(id).unwrap().standing), (vec![id], &standing));
        after = next;
    }
    assert_eq!(devices.connect(id, 0).map(|_| ()), Err(No("The number is banned.")));
}
