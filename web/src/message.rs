//! Messages of the daemon as WhatsApp's: texts, places, cards and files.
//!
//! Templates are the Cloud API's. Files are read from this machine, where the daemon has laid them; addresses on the net are
//! not called from here: whoever checks them is the daemon.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;
use whatsapp_rust::media::{
    AudioOptions, DocumentOptions, ImageOptions, VideoOptions, audio_message, document_message, image_message,
    video_message,
};
use whatsapp_rust::prelude::*;
use whatsapp_rust::upload::UploadResponse;
use whatsapp_rust::wacore::download::MediaType;

/// What is to be sent.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Spec {
    Text { text: String },
    Location(Place),
    Contact(Card),
    Image(Media),
    Video(Media),
    Audio(Media),
    Document(Media),
}

#[derive(Deserialize)]
struct Place {
    latitude: f64,
    longitude: f64,
    name: Option<String>,
    address: Option<String>,
}

#[derive(Deserialize)]
struct Card {
    name: String,
    phones: Vec<String>,
}

#[derive(Deserialize)]
struct Media {
    file: MediaFile,
    caption: Option<String>,
    filename: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MediaFile {
    path: PathBuf,
    mime_type: Option<String>,
}

/// A message that can be sent.
pub enum Ready {
    /// As it is.
    Message(Box<wa::Message>),
    /// After its file was sent.
    File(FileMessage),
}

/// A message with a file.
pub struct FileMessage {
    kind: MediaType,
    media: Media,
}

/// Reads a message; none if it can not be sent from here.
#[must_use]
pub fn read(message: Value) -> Option<Ready> {
    let message = match serde_json::from_value(message).ok()? {
        Spec::Text { text } => wa::Message::text(text),
        Spec::Location(place) => location(place),
        Spec::Contact(card) => contact(&card),
        Spec::Image(media) => return Some(file(MediaType::Image, media)),
        Spec::Video(media) => return Some(file(MediaType::Video, media)),
        Spec::Audio(media) => return Some(file(MediaType::Audio, media)),
        Spec::Document(media) => return Some(file(MediaType::Document, media)),
    };
    Some(Ready::Message(Box::new(message)))
}

fn file(kind: MediaType, media: Media) -> Ready {
    Ready::File(FileMessage { kind, media })
}

impl FileMessage {
    /// Where its file is.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.media.file.path
    }

    /// What its file is, for its encryption.
    #[must_use]
    pub fn kind(&self) -> MediaType {
        self.kind
    }

    /// Makes the message, once its file was sent.
    #[must_use]
    pub fn finish(self, upload: UploadResponse) -> wa::Message {
        let Media { file, caption, filename } = self.media;
        let mimetype = file.mime_type;
        match self.kind {
            MediaType::Image => image_message(upload, ImageOptions { caption, mimetype, ..Default::default() }),
            MediaType::Video => video_message(upload, VideoOptions { caption, mimetype, ..Default::default() }),
            MediaType::Audio => audio_message(upload, AudioOptions { mimetype, ..Default::default() }),
            _ => {
                let options = DocumentOptions { caption, mimetype, file_name: filename, ..Default::default() };
                document_message(upload, options)
            }
        }
    }
}

fn location(place: Place) -> wa::Message {
    let location = wa::message::LocationMessage {
        degrees_latitude: Some(place.latitude),
        degrees_longitude: Some(place.longitude),
        name: place.name,
        address: place.address,
        ..Default::default()
    };
    wa::Message { location_message: MessageField::some(location), ..Default::default() }
}

fn contact(card: &Card) -> wa::Message {
    // A line end would begin another property of the card.
    let name: String = card.name.chars().filter(|c| !c.is_control()).collect();
    let escaped = name.replace('\\', "\\\\").replace(';', "\\;").replace(',', "\\,");
    let mut vcard = format!("BEGIN:VCARD\nVERSION:3.0\nN:;{escaped};;;\nFN:{escaped}\n");
    for phone in &card.phones {
        let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
        vcard.push_str(&format!("TEL;type=CELL;waid={digits}:+{digits}\n"));
    }
    vcard.push_str("END:VCARD");
    let contact = wa::message::ContactMessage { display_name: Some(name), vcard: Some(vcard), ..Default::default() };
    wa::Message { contact_message: MessageField::some(contact), ..Default::default() }
}

/// Returns what a message that came in is called, and its words.
#[must_use]
pub fn describe(message: &wa::Message) -> (&'static str, Option<String>) {
    if let Some(text) = message.text_content() {
        return ("text", Some(text.chars().take(crate::limits::INCOMING_CHARS_MAX).collect()));
    }
    let caption = message.get_caption().map(|text| text.chars().take(crate::limits::INCOMING_CHARS_MAX).collect());
    let message = message.get_base_message();
    let kinds = [
        (message.image_message.is_set(), "image"),
        (message.video_message.is_set(), "video"),
        (message.audio_message.is_set(), "audio"),
        (message.document_message.is_set(), "document"),
        (message.location_message.is_set(), "location"),
        (message.contact_message.is_set(), "contact"),
        (message.sticker_message.is_set(), "sticker"),
        (message.reaction_message.is_set(), "reaction"),
    ];
    (kinds.iter().find(|(is_it, _)| *is_it).map_or("other", |(_, name)| name), caption)
}
