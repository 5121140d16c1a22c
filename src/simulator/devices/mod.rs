//! Linked devices and their phones: paired by a code that is scanned or typed in, closed, lost, unlinked, banned.
//!
//! Works by times that it is given; what is asked over HTTP is [`super::device_desk`]. Keeps no keys and sends nothing.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::simulator::dice::{mix, stable_hash};

/// How long a code may be scanned before another one takes its place.
pub(crate) const QR_LIFETIME_US: u64 = 20_000_000;

/// Codes of one pairing; when the last one has ended, the device gives up.
const QRS_PER_PAIRING: u64 = 6;

/// How long a code that is typed in may be used.
const PAIRING_CODE_LIFETIME_US: u64 = 180_000_000;

/// Devices known at once; at about 300 bytes each this is 30 MB at worst.
const DEVICES_MAX: usize = 100_000;

/// Devices of one answer about changes; at about 250 bytes each these are 250 kB.
const CHANGES_PER_ANSWER_MAX: usize = 1_000;

/// Letters of codes that are typed in: none that looks like another one.
const LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// How a device stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Waits to be paired since a time.
    Pairing { since_us: u64 },
    /// Connected.
    Connected,
    /// Its connection broke.
    Reconnecting,
    /// Closed; still paired if it has a phone.
    Disconnected,
    /// Unlinked.
    LoggedOut,
    /// Banned for good.
    Banned,
    /// Another client has its place; still paired.
    Replaced,
}

/// What happens to a device from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// Its connection breaks.
    Lost,
    /// Its connection is there again.
    Back,
    /// Its phone unlinks it.
    LoggedOut,
    /// Its number is banned.
    Banned,
    /// Another client takes its place.
    Replaced,
}

/// Why something is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct No(pub(crate) &'static str);

/// A device.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) standing: Standing,
    pub(crate) phone: Option<Box<str>>,
    /// Counts its pairings: no code comes twice.
    n_pairings: u64,
    /// The number that a code was typed in for, and until when it may be.
    typed: Option<(Box<str>, u64)>,
    /// When it last changed, in changes of all devices.
    changed: u64,
    /// The last code that was told of.
    nth_told: u64,
}

/// A code and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) text: String,
    pub(crate) until_us: u64,
}

/// All devices.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    by_id: BTreeMap<Uuid, Device>,
    seed: u64,
    n_changes: u64,
}

impl Device {
    fn new() -> Self {
        let standing = Standing::LoggedOut;
        Self { standing, phone: None, n_pairings: 0, typed: None, changed: 0, nth_told: 0 }
    }

    /// Returns which code of its pairing may be scanned now; none when it is not being paired, or nobody came in time.
    fn nth_code(&self, now_us: u64) -> Option<u64> {
        let Standing::Pairing { since_us } = self.standing else { return None };
        Some(now_us.saturating_sub(since_us) / QR_LIFETIME_US).filter(|nth| *nth < QRS_PER_PAIRING)
    }
}

impl Devices {
    /// Makes an empty world.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Connects a device, by its pairing if it has one.
    pub(crate) fn connect(&mut self, id: Uuid, now_us: u64) -> Result<&Device, No> {
        self.advance(now_us);
        if self.by_id.len() >= DEVICES_MAX && !self.by_id.contains_key(&id) {
            return Err(No("The simulator knows too many devices."));
        }
        let device = self.by_id.entry(id).or_insert_with(Device::new);
        let standing = match device.standing {
            Standing::Banned => return Err(No("The number is banned.")),
            Standing::Pairing { .. } | Standing::Connected | Standing::Reconnecting => return Ok(&self.by_id[&id]),
            Standing::Disconnected | Standing::Replaced if device.phone.is_some() => Standing::Connected,
            Standing::Disconnected | Standing::Replaced | Standing::LoggedOut => {
                device.n_pairings += 1;
                device.nth_told = 0;
                Standing::Pairing { since_us: now_us }
            }
        };
        self.put(id, standing);
        Ok(&self.by_id[&id])
    }

    /// Closes the connection; ends a pairing.
    pub(crate) fn disconnect(&mut self, id: Uuid, now_us: u64) -> &Device {
        self.advance(now_us);
        let device = self.by_id.entry(id).or_insert_with(Device::new);
        let to = match device.standing {
            Standing::Pairing { .. } | Standing::Connected | Standing::Reconnecting => Some(Standing::Disconnected),
            Standing::Disconnected | Standing::LoggedOut | Standing::Banned | Standing::Replaced => None,
        };
        if let Some(to) = to {
            self.put(id, to);
        }
        &self.by_id[&id]
    }

    /// Unlinks a device.
    pub(crate) fn log_out(&mut self, id: Uuid) -> &Device {
        let device = self.by_id.entry(id).or_insert_with(Device::new);
        if !matches!(device.standing, Standing::LoggedOut | Standing::Banned) {
            device.phone = None;
            self.put(id, Standing::LoggedOut);
        }
        &self.by_id[&id]
    }

    /// Gives out a code to be typed in on the phone of this number.
    pub(crate) fn pairing_code(&mut self, id: Uuid, phone: &str, now_us: u64) -> Result<Code, No> {
        self.advance(now_us);
        let device = self.by_id.get_mut(&id).filter(|device| matches!(device.standing, Standing::Pairing { .. }));
        let device = device.ok_or(No("The device is not being paired."))?;
        let until_us = now_us + PAIRING_CODE_LIFETIME_US;
        device.typed = Some((phone.into(), until_us));
        let text = typed_code(self.seed, id, device.n_pairings, phone);
        Ok(Code { text, until_us })
    }

    /// Returns the code that may be scanned now, if the device waits for that.
    pub(crate) fn qr(&self, id: Uuid, now_us: u64) -> Option<Code> {
        let device = self.by_id.get(&id)?;
        let (nth, Standing::Pairing { since_us }) = (device.nth_code(now_us)?, &device.standing) else { return None };
        let text = scanned_code(self.seed, id, device.n_pairings, nth);
        Some(Code { text, until_us: since_us + (nth + 1) * QR_LIFETIME_US })
    }

    /// A phone scans a code.
    pub(crate) fn scan(&mut self, text: &str, phone: &str, now_us: u64) -> Result<Uuid, No> {
        self.advance(now_us);
        let shown = |id: &Uuid| self.qr(*id, now_us).is_some_and(|code| code.text == text);
        let id = self.by_id.keys().copied().find(|id| shown(id)).ok_or(No("No device shows this code."))?;
        self.pair(id, phone);
        Ok(id)
    }

    /// Somebody types a code in on a phone.
    pub(crate) fn type_in(&mut self, text: &str, phone: &str, now_us: u64) -> Result<Uuid, No> {
        self.advance(now_us);
        let waits = |(id, device): (&Uuid, &Device)| {
            let (of, until_us) = device.typed.as_ref()?;
            let fits =
                &**of == phone && now_us < *until_us && typed_code(self.seed, *id, device.n_pairings, of) == text;
            (fits && matches!(device.standing, Standing::Pairing { .. })).then_some(*id)
        };
        let id = self.by_id.iter().find_map(waits).ok_or(No("No device waits for this code."))?;
        self.pair(id, phone);
        Ok(id)
    }

    /// Something happens to a device.
    pub(crate) fn befall(&mut self, id: Uuid, mishap: Mishap) -> Result<(), No> {
        let device = self.by_id.get_mut(&id).ok_or(No("There is no such device."))?;
        let to = match (mishap, &device.standing) {
            (Mishap::Banned, _) => Standing::Banned,
            (Mishap::LoggedOut, _) => {
                device.phone = None;
                Standing::LoggedOut
            }
            (Mishap::Lost, Standing::Connected) => Standing::Reconnecting,
            (Mishap::Back, Standing::Reconnecting) => Standing::Connected,
            (Mishap::Replaced, Standing::Connected | Standing::Reconnecting) => Standing::Replaced,
            (Mishap::Lost | Mishap::Back | Mishap::Replaced, _) => return Err(No("The device is not connected.")),
        };
        self.put(id, to);
        Ok(())
    }

    /// Returns a device.
    pub(crate) fn get(&self, id: Uuid) -> Option<&Device> {
        self.by_id.get(&id)
    }

    /// Returns devices that changed after a number of changes, in the order of their changes, and the number to ask with next.
    pub(crate) fn changed_after(&mut self, after: u64, now_us: u64) -> (Vec<Uuid>, u64) {
        self.advance(now_us);
        let mut changed: Vec<(u64, Uuid)> =
            self.by_id.iter().map(|(id, device)| (device.changed, *id)).filter(|(at, _)| after < *at).collect();
        changed.sort_unstable();
        changed.truncate(CHANGES_PER_ANSWER_MAX);
        let next = changed.last().map_or(after, |(at, _)| *at);
        (changed.into_iter().map(|(_, id)| id).collect(), next)
    }

    /// Returns when something will change by itself; none when nothing will.
    pub(crate) fn next_change_us(&self, now_us: u64) -> Option<u64> {
        let ends = |device: &Device| match device.standing {
            Standing::Pairing { since_us } => {
                Some(since_us + (now_us.saturating_sub(since_us) / QR_LIFETIME_US + 1) * QR_LIFETIME_US)
            }
            _ => None,
        };
        self.by_id.values().filter_map(ends).min()
    }

    /// Brings codes and pairings up to now.
    fn advance(&mut self, now_us: u64) {
        for device in self.by_id.values_mut().filter(|device| matches!(device.standing, Standing::Pairing { .. })) {
            let nth = device.nth_code(now_us);
            if nth.is_some_and(|nth| nth == device.nth_told) {
                continue;
            }
            self.n_changes += 1;
            device.changed = self.n_changes;
            match nth {
                Some(nth) => device.nth_told = nth,
                None => (device.standing, device.typed) = (Standing::Disconnected, None),
            }
        }
    }

    fn pair(&mut self, id: Uuid, phone: &str) {
        if let Some(device) = self.by_id.get_mut(&id) {
            device.phone = Some(phone.into());
        }
        self.put(id, Standing::Connected);
    }

    fn put(&mut self, id: Uuid, standing: Standing) {
        if let Some(device) = self.by_id.get_mut(&id) {
            self.n_changes += 1;
            (device.standing, device.changed, device.typed) = (standing, self.n_changes, None);
        }
    }
}

/// Tells whether a number is on WhatsApp: all are, but those that end in 000.
pub(crate) fn is_on_whatsapp(phone: &str) -> bool {
    !phone.ends_with("000")
}

fn hash_of(seed: u64, id: Uuid, n_pairings: u64, what: u64) -> u64 {
    mix(stable_hash(id.as_bytes()) ^ mix(seed ^ mix(n_pairings.rotate_left(32) ^ what)))
}

/// Looks as the code of a linked device does: a version, a reference and three keys.
fn scanned_code(seed: u64, id: Uuid, n_pairings: u64, nth: u64) -> String {
    let word = |part: u64| {
        let hash = hash_of(seed, id, n_pairings, nth * 16 + part);
        format!("{hash:016x}{:016x}", mix(hash))
    };
    format!("2@{}{},{},{},{}", word(0), word(1), word(2), word(3), word(4))
}

fn typed_code(seed: u64, id: Uuid, n_pairings: u64, phone: &str) -> String {
    let hash = hash_of(seed, id, n_pairings, stable_hash(phone.as_bytes()));
    let letter = |at: u32| char::from(LETTERS[usize::try_from((hash >> (5 * at)) & 31).unwrap_or(0)]);
    let half = |from: u32| (from..from + 4).map(letter).collect::<String>();
    format!("{}-{}", half(0), half(4))
}

#[cfg(test)]
mod tests;
