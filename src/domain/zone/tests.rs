//! Zones of countries and names, and that bands keep them apart.

use std::collections::HashMap;

use phonenumber::metadata::DATABASE;

use super::*;

#[test]
fn every_country_of_the_numbering_plans_has_zones() {
    assert!(COUNTRIES.is_sorted_by(|(a, _), (b, _)| a < b));
    for region in DATABASE.iter().filter(|region| region.id() != "001") {
        let zone = Zone::of_country(region.id()).unwrap_or_else(|| panic!("{} has none", region.id()));
        assert_eq!(zone.as_str(), region.id());
        let (_, names) = entry(region.id()).unwrap();
        assert_eq!(zone.zones().len(), names.len(), "{names:?} are not all known");
    }
}

#[test]
fn all_zones_and_countries_have_bands_of_their_own() {
    let names = BUNDLED.available().map(|name| name.as_str().to_owned());
    let mut bands: HashMap<Band, Option<Zone>> = HashMap::new();
    let mut n_zones = 0;
    let zones =
        names.chain(COUNTRIES.iter().map(|(code, _)| (*code).to_owned())).map(|name| Zone::parse(&name).unwrap());
    for zone in zones.map(Some).chain([None]) {
        n_zones += 1;
        for temperature in [Temperature::Cold, Temperature::Warm] {
            let band = Band::of(zone.as_ref(), temperature);
            assert_eq!(band.temperature(), temperature);
            let other = bands.insert(band, zone.clone());
            assert!(other.as_ref().is_none_or(|other| *other == zone), "{other:?} and {zone:?}");
        }
    }
    assert!(800 < n_zones, "only {n_zones}");
    assert_eq!(Band::of(None, Temperature::Cold), Band::default());
}

/// Bands are kept in the database.
#[test]
fn bands_never_change() {
    let band = |text| Band::of(Some(&Zone::parse(text).unwrap()), Temperature::Warm).0;
    assert_eq!([band("Asia/Kolkata"), band("US"), band("DE")], [1_568_620_813, 1_273_438_385, 2_006_776_517]);
}

#[test]
fn names_are_read_in_any_case_and_countries_in_capitals() {
    assert_eq!(Zone::parse("asia/kolkata").unwrap().as_str(), "Asia/Kolkata");
    assert_eq!(Zone::parse("GB").unwrap(), Zone::of_country("GB").unwrap());
    for text in ["", "XX", "de", "Mars/Base", "Etc/Unknown", "../etc/passwd", "+05:30"] {
        assert_eq!(Zone::parse(text), None, "{text}");
    }
    let zones = Zone::of_country("US").unwrap().zones();
    let names: Vec<_> = zones.iter().filter_map(TimeZone::iana_name).collect();
    assert_eq!(names, ["America/New_York", "America/Los_Angeles"]);
    assert_eq!(serde_json::from_str::<Zone>("\"DE\"").unwrap(), Zone::of_country("DE").unwrap());
}

#[test]
fn recipients_are_where_their_numbers_are_from() {
    let zone = |text: &str| Zone::of_recipient(&Recipient::parse(text).unwrap()).map(String::from);
    let known = |text| zone(text).unwrap();
    assert_eq!(known("+91 98765 43210"), "IN");
    assert_eq!(known("+1 212 736 5000"), "US");
    assert_eq!(known("+1 416 555 0123"), "CA");
    assert_eq!(known("+1 242 359 1234"), "BS");
    assert_eq!(known("+7 912 345 67 89"), "RU");
    assert_eq!(known("+7 771 000 9998"), "KZ");
    assert_eq!(known("+44 7400 123456"), "GB");
    assert_eq!(known("+52 1 55 1234 5678"), "MX");
    assert_eq!(known("US.13491208655302741918"), "US");
    assert_eq!(zone("123456789012345@lid"), None);
}
