//! The phone that reads a code and vouches for the device behind it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use whatsapp_rust::buffa::Message as _;
use whatsapp_rust::pair::PairUtils;
use whatsapp_rust::prelude::wa;
use whatsapp_rust::wacore::libsignal::protocol::KeyPair;
use whatsapp_rust::wacore_binary::Node;
use whatsapp_rust::wacore_binary::builder::NodeBuilder;

/// What an account signs first when it vouches for a device.
const VOUCHES: [u8; 2] = [6, 0];

/// Makes the stanza that tells a device that it is paired.
pub(crate) fn paired(code: &str, number: &str, nth: u64) -> Node {
    let (_, _, identity) = PairUtils::parse_qr_code(code).unwrap();
    let secret = BASE64_STANDARD.decode(code.split(',').nth(3).unwrap()).unwrap();
    let account = KeyPair::generate(&mut rand::rng());
    let details = wa::ADVDeviceIdentity {
        raw_id: Some(1),
        timestamp: Some(1_700_000_000),
        key_index: Some(1),
        ..Default::default()
    };
    let details = details.encode_to_vec();
    let signed = [&VOUCHES[..], &details, &identity].concat();
    let signature = account.private_key.calculate_signature(&signed, &mut rand::rng()).unwrap();
    let identity = wa::ADVSignedDeviceIdentity {
        details: Some(details),
        account_signature_key: Some(account.public_key.public_key_bytes().to_vec()),
        account_signature: Some(signature.to_vec()),
        ..Default::default()
    };
    let identity = identity.encode_to_vec();
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
    mac.update(&identity);
    let hmac = mac.finalize().into_bytes().to_vec();
    let container = wa::ADVSignedDeviceIdentityHMAC { details: Some(identity), hmac: Some(hmac), ..Default::default() };
    let children = [
        NodeBuilder::new("device-identity").bytes(container.encode_to_vec()).build(),
        NodeBuilder::new("platform").attr("name", "android").build(),
        NodeBuilder::new("device")
            .attr("jid", format!("{number}:1@s.whatsapp.net"))
            .attr("lid", format!("7{number}:1@lid"))
            .build(),
    ];
    NodeBuilder::new("iq")
        .attr("from", "s.whatsapp.net")
        .attr("type", "set")
        .attr("id", format!("paired-{nth}"))
        .attr("xmlns", "md")
        .children([NodeBuilder::new("pair-success").children(children).build()])
        .build()
}
