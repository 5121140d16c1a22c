//! The provider's own book of what arrived: the ground truth of tests and benches.
//!
//! Every send request is an entry, in the order of deciding, with its time of arrival; nothing is ever changed. A message is
//! told from another by its token, or by number, recipient and body when it has none. An entry takes 48 bytes and an
//! identity about 50, because runs of millions are kept. Judging the pace is in [`pace`], counting by number in [`counts`],
//! the HTTP view in [`view`].

pub(crate) mod counts;
pub mod pace;
pub(crate) mod view;

use std::collections::hash_map::{DefaultHasher, Entry as Slot};
use std::collections::{BTreeMap, HashMap};
use std::hash::Hasher;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

/// Entries of one page in memory; a reader copies at most one page under the lock and shares the others.
const PAGE: usize = 8_192;

/// Slices of the table of identities, so that none of them grows large at once while senders wait.
const SHARDS: usize = 64;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Answered with success.
    Accepted,
    /// Accepted, and the connection was cut instead of an answer.
    AcceptedThenReset,
    /// Accepted, and never answered.
    AcceptedThenHung,
    /// Refused with this code.
    Refused(u32),
    /// Answered with HTTP 503 by an outage.
    Unavailable,
    /// The connection was cut; nothing was accepted.
    ResetBeforeAcceptance,
    /// Never answered; nothing was accepted.
    HungBeforeAcceptance,
}

impl Verdict {
    /// The words of all verdicts, by their place.
    const WORDS: [&'static str; 7] = [
        "accepted",
        "acceptedThenReset",
        "acceptedThenHung",
        "refused",
        "unavailable",
        "resetBeforeAcceptance",
        "hungBeforeAcceptance",
    ];

    /// Returns the word of the HTTP view.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::WORDS[self.place()]
    }

    /// Tells whether the provider took responsibility for the message.
    #[must_use]
    pub fn is_acceptance(self) -> bool {
        matches!(self, Self::Accepted | Self::AcceptedThenReset | Self::AcceptedThenHung)
    }

    fn place(self) -> usize {
        match self {
            Self::Accepted => 0,
            Self::AcceptedThenReset => 1,
            Self::AcceptedThenHung => 2,
            Self::Refused(_) => 3,
            Self::Unavailable => 4,
            Self::ResetBeforeAcceptance => 5,
            Self::HungBeforeAcceptance => 6,
        }
    }
}

/// One request as it is put into the ledger.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The number's place among all numbers.
    pub number: u32,
    /// Digits of a phone number, or the text that was written.
    pub recipient: &'a str,
    /// What the sender calls the message, if anything.
    pub token: Option<&'a str>,
    /// The body, which tells messages without a token apart.
    pub body: &'a [u8],
    /// When its head was read, microseconds since the epoch.
    pub at_us: u64,
    /// What became of it.
    pub verdict: Verdict,
    /// The hash of the file that goes along, if one was brought before.
    pub media: Option<&'a str>,
}

/// The ledger is full, and takes nothing more.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// The book.
#[derive(Debug)]
pub struct Ledger {
    entries_max: usize,
    book: Mutex<Book>,
}

/// Sums over all entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that arrived.
    pub received: u64,
    /// Those for which the provider took responsibility.
    pub accepted: u64,
    /// Different messages among all requests.
    pub distinct: u64,
    /// Acceptances beyond the first of the same message.
    pub duplicates: u64,
    /// Requests that came when the ledger was full.
    pub unrecorded: u64,
    /// First and last arrival, microseconds since the epoch.
    pub span_us: Option<(u64, u64)>,
    by_verdict: [u64; 7],
    by_code: BTreeMap<u32, u64>,
}

impl Totals {
    /// Returns how many requests met the verdict; refusals of all codes together.
    #[must_use]
    pub fn of(&self, verdict: Verdict) -> u64 {
        self.by_verdict[verdict.place()]
    }
}

#[derive(Debug)]
struct Book {
    full_pages: Vec<Arc<Vec<Entry>>>,
    page: Vec<Entry>,
    acceptances: Vec<HashMap<Key, u32>>,
    texts: Texts,
    /// Places of the hashes of files, by the index of their entry; most entries have none.
    media: HashMap<usize, u64>,
    totals: Totals,
}

/// An identity in 128 bits: a UUID itself, the place of a text, or a hash.
type Key = [u64; 2];

#[derive(Debug, Clone, Copy)]
struct Entry {
    key: Key,
    recipient: u64,
    at_us: u64,
    number: u32,
    /// The code of a refusal, else 0.
    code: u32,
    kind: Kind,
    verdict: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Uuid,
    Text,
    None,
}

/// Marks a key that is the place of a text; as half of a UUID its variant bits would be wrong.
const TEXT_MARK: u64 = 0x00FF_FFFF_FFFF_FFFF;

/// Marks a recipient that is the place of a text and not the number itself.
const TEXT_RECIPIENT: u64 = 1 << 63;

impl Ledger {
    /// Makes an empty ledger that takes at most `entries_max` entries.
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        Self { entries_max, book: Mutex::new(Book::new()) }
    }

    /// Puts a request down.
    ///
    /// # Errors
    /// When the ledger is full; the request is then only counted, and must not be accepted.
    pub fn record(&self, arrival: Arrival<'_>) -> Result<(), Full> {
        // What can be worked out before is, to keep the lock short.
        let token = Token::of(&arrival);
        let digits = as_number(arrival.recipient);
        let mut book = self.lock();
        if book.n_entries() >= self.entries_max {
            book.totals.unrecorded += 1;
            return Err(Full);
        }
        let (kind, key) = match token {
            Token::Uuid(key) => (Kind::Uuid, key),
            Token::Text(text) => (Kind::Text, [TEXT_MARK, book.texts.intern(text)]),
            Token::None(key) => (Kind::None, key),
        };
        let recipient = digits.unwrap_or_else(|| TEXT_RECIPIENT | book.texts.intern(arrival.recipient));
        let code = if let Verdict::Refused(code) = arrival.verdict { code } else { 0 };
        let verdict = u8::try_from(arrival.verdict.place()).unwrap_or(u8::MAX);
        if let Some(media) = arrival.media {
            let (index, place) = (book.n_entries(), book.texts.intern(media));
            book.media.insert(index, place);
        }
        book.add(
            Entry { key, recipient, at_us: arrival.at_us, number: arrival.number, code, kind, verdict },
            arrival.verdict,
        );
        Ok(())
    }

    /// Returns the sums as of now.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.lock().totals.clone()
    }

    /// Returns number and time of all arrivals, in order of number and time.
    #[must_use]
    pub fn arrivals(&self) -> Vec<(u32, u64)> {
        let pages = self.pages();
        let entries = pages.iter().flat_map(|page| page.iter());
        let mut arrivals: Vec<_> = entries.map(|entry| (entry.number, entry.at_us)).collect();
        arrivals.sort_unstable();
        arrivals
    }

    /// Returns all entries as of now, in pages.
    fn pages(&self) -> Vec<Arc<Vec<Entry>>> {
        let book = self.lock();
        let mut pages = book.full_pages.clone();
        pages.push(Arc::new(book.page.clone()));
        pages
    }

    /// Empties it.
    pub fn reset(&self) {
        let old = std::mem::replace(&mut *self.lock(), Book::new());
        // Freed here, after the lock.
        drop(old);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn new() -> Self {
        Self {
            full_pages: Vec::new(),
            page: Vec::with_capacity(PAGE),
            acceptances: vec![HashMap::new(); SHARDS],
            texts: Texts::default(),
            media: HashMap::new(),
            totals: Totals::default(),
        }
    }

    fn n_entries(&self) -> usize {
        self.full_pages.len() * PAGE + self.page.len()
    }

    fn entry(&self, index: usize) -> Option<&Entry> {
        match self.full_pages.get(index / PAGE) {
            Some(page) => page.get(index % PAGE),
            None => self.page.get(index - self.full_pages.len() * PAGE),
        }
    }

    fn add(&mut self, entry: Entry, verdict: Verdict) {
        let totals = &mut self.totals;
        let shard = usize::try_from((entry.key[0] ^ entry.key[1]) % SHARDS as u64).unwrap_or(0);
        let n_accepted = match self.acceptances[shard].entry(entry.key) {
            Slot::Occupied(slot) => slot.into_mut(),
            Slot::Vacant(slot) => {
                totals.distinct += 1;
                slot.insert(0)
            }
        };
        if verdict.is_acceptance() {
            totals.accepted += 1;
            totals.duplicates += u64::from(*n_accepted > 0);
            *n_accepted = n_accepted.saturating_add(1);
        }
        if let Verdict::Refused(code) = verdict {
            *totals.by_code.entry(code).or_default() += 1;
        }
        totals.received += 1;
        totals.by_verdict[verdict.place()] += 1;
        let (first, last) = totals.span_us.unwrap_or((entry.at_us, entry.at_us));
        totals.span_us = Some((first.min(entry.at_us), last.max(entry.at_us)));
        self.page.push(entry);
        if self.page.len() == PAGE {
            self.full_pages.push(Arc::new(std::mem::replace(&mut self.page, Vec::with_capacity(PAGE))));
        }
    }
}

/// Texts that are neither UUIDs nor digits, each kept once.
#[derive(Debug, Default)]
struct Texts {
    places: HashMap<Arc<str>, u64>,
    by_place: Vec<Arc<str>>,
}

impl Texts {
    fn intern(&mut self, text: &str) -> u64 {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let (place, text) = (self.by_place.len() as u64, Arc::<str>::from(text));
        self.by_place.push(Arc::clone(&text));
        self.places.insert(text, place);
        place
    }

    fn get(&self, place: u64) -> &str {
        usize::try_from(place).ok().and_then(|place| self.by_place.get(place)).map_or("", |text| text)
    }
}

enum Token<'a> {
    Uuid(Key),
    Text(&'a str),
    None(Key),
}

impl<'a> Token<'a> {
    fn of(arrival: &Arrival<'a>) -> Self {
        let Some(text) = arrival.token else {
            return Self::None([hash_of(arrival, 1), hash_of(arrival, 2)]);
        };
        // Only the one usual form is packed, so that every token reads back as it was written.
        match Uuid::try_parse(text) {
            Ok(uuid) if uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text && !uuid.is_nil() => {
                let (high, low) = uuid.as_u64_pair();
                Self::Uuid([high, low])
            }
            _ => Self::Text(text),
        }
    }
}

fn hash_of(arrival: &Arrival<'_>, salt: u8) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u8(salt);
    hasher.write_u32(arrival.number);
    hasher.write_usize(arrival.recipient.len());
    hasher.write(arrival.recipient.as_bytes());
    hasher.write(arrival.body);
    hasher.finish()
}

/// Returns digits as a number if it reads back the same and leaves the mark free.
fn as_number(recipient: &str) -> Option<u64> {
    let digits = (1..=18).contains(&recipient.len()) && recipient.bytes().all(|byte| byte.is_ascii_digit());
    let same = digits && !(recipient.starts_with('0') && recipient.len() > 1);
    same.then(|| recipient.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
