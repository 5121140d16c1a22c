//! Whether the messages of one stream may go, and what they wait for: the latest of all that is in the way.
//!
//! Pure, and the same for lanes that send, for people who ask why one does not, and for forecasts.

use std::time::Duration;

use crate::clock::Moment;
use crate::dispatch::limits::{Due, LaneLimits};
use crate::domain::held_by::{Held, HeldBy};
use crate::domain::job::TrafficClass;
use crate::domain::zone::Temperature;

/// When messages may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// The earliest moment; none when time alone will not do.
    pub at: Option<Moment>,
    /// What they wait for.
    pub by: HeldBy,
}

/// What is known of one stream.
#[derive(Debug, Clone, Copy)]
pub struct StreamFacts {
    /// Whether its recipients ever wrote to the session.
    pub temperature: Temperature,
    /// Kind of traffic.
    pub traffic_class: TrafficClass,
    /// What holds the stream alone.
    pub held: Option<Held>,
    /// When the sending hours at its recipients' place begin, or since when they last; none if never.
    pub hours_from: Option<Moment>,
    /// When the campaign's own pace allows the next one, and which part of it that is.
    pub campaign: (Moment, HeldBy),
}

/// Everything of a lane that its streams have in common.
#[derive(Debug, Clone, Copy)]
pub struct Gate<'a> {
    /// Its limits.
    pub limits: &'a LaneLimits,
    /// Sends that are begun and not let go.
    pub n_before: usize,
    /// How long before its moment a message is begun.
    pub lead: Duration,
    /// What holds back messages to recipients who never wrote.
    pub cold: Option<Held>,
    /// What holds back all that is no answer.
    pub business: Option<Held>,
}

impl Opening {
    /// Nothing is in the way.
    #[must_use]
    pub fn now(now: Moment) -> Self {
        Self { at: Some(now), by: HeldBy::Pace }
    }

    /// Returns the later one of this and another cause.
    #[must_use]
    pub fn or_later(self, at: Option<Moment>, by: HeldBy) -> Self {
        match (self.at, at) {
            (None, _) => self,
            (_, None) => Self { at, by },
            (Some(own), Some(other)) if own < other => Self { at, by },
            _ => self,
        }
    }

    /// Tells whether it is there.
    #[must_use]
    pub fn is_open(&self, now: Moment) -> bool {
        self.at.is_some_and(|at| at <= now)
    }

    /// Returns the one that comes first.
    #[must_use]
    pub fn earlier(self, other: Self) -> Self {
        match (self.at, other.at) {
            (Some(own), Some(others)) if others < own => other,
            (None, Some(_)) => other,
            _ => self,
        }
    }
}

impl Gate<'_> {
    /// Says when the next message of a stream may be begun.
    #[must_use]
    pub fn opening(&self, stream: &StreamFacts, now: Moment) -> Opening {
        self.opening_from(self.due(stream.temperature, now), stream, now)
    }

    /// Returns what the limits of the lane allow to the next message of a temperature.
    #[must_use]
    pub fn due(&self, temperature: Temperature, now: Moment) -> Due {
        self.limits.next(now, self.n_before, temperature)
    }

    /// Says when the next message of a stream may be begun, for whoever has asked the limits for many streams.
    #[must_use]
    pub fn opening_from(&self, due: Due, stream: &StreamFacts, now: Moment) -> Opening {
        let (campaign_at, campaign_by) = stream.campaign;
        // Paces are met at the moment of the release, so the attempt is begun before; what holds must be over.
        let paced = Opening::now(now)
            .or_later(Some(due.at - self.lead), due.by)
            .or_later(Some(campaign_at - self.lead), campaign_by);
        self.blocked(stream, now).into_iter().fold(paced, |opening, held| opening.or_later(held.at, held.by))
    }

    /// Says what keeps a stream from sending, paces apart.
    #[must_use]
    pub fn blocked(&self, stream: &StreamFacts, now: Moment) -> Option<Opening> {
        let is_cold = stream.temperature == Temperature::Cold;
        let is_business = is_cold || stream.traffic_class == TrafficClass::Bulk;
        let holds = [stream.held, self.cold.filter(|_| is_cold), self.business.filter(|_| is_business)];
        let mut opening = Opening::now(now);
        for held in holds.into_iter().flatten() {
            opening = opening.or_later(held.until, held.by);
        }
        if stream.traffic_class == TrafficClass::Bulk {
            opening = opening.or_later(stream.hours_from, HeldBy::SendingHours);
        }
        (!opening.is_open(now)).then_some(opening)
    }
}
