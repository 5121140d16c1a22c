//! Things that are kept, sent and shown as words: one enum for each, with its words beside it.
//!
//! Only the form; what the words mean is where they are.

/// Makes an enum whose values are words: in the database, on the wire, in the API and as labels.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
        )]
        pub enum $name {
            $($(#[$value_doc])* #[serde(rename = $word)] $value,)*
        }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$value,)*];

            /// Returns the word.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $word,)*
                }
            }

            /// Reads the word.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == word)
            }
        }
    };
}

pub(super) use words;

#[cfg(test)]
mod tests {
    use crate::domain::dead_letter::DeadCause;
    use crate::domain::webhook::WebhookEvent;

    #[test]
    fn words_read_back() {
        for &value in WebhookEvent::ALL {
            assert_eq!(WebhookEvent::parse(value.as_str()), Some(value));
            assert_eq!(serde_json::to_value(value).unwrap(), value.as_str());
            assert_eq!(serde_json::from_value::<WebhookEvent>(value.as_str().into()).unwrap(), value);
        }
        assert_eq!(DeadCause::parse("unreadable"), None);
        assert_eq!(DeadCause::parse("UNREADABLE"), Some(DeadCause::Unreadable));
    }
}
