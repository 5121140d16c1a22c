//! What is asked about linked devices over HTTP: by whoever connects them, and by tests that hold the phones.
//!
//! `POST /devices/v1/{session}/connect|disconnect|log-out|pairing-code|check-number`, `GET /devices/v1/{session}/groups`,
//! `GET /devices/v1/changes?after=CURSOR`, which is answered when something has changed or after a while. For tests:
//! `POST /phones/scan` with `{"qr", "phoneNumber"}`, `POST /phones/type-in` with `{"code", "phoneNumber"}`, and
//! `POST /phones/{session}/lost|back|logged-out|banned|replaced`. What becomes of a device is decided in [`super::devices`].

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::clock::{Clock, Moment};
use crate::simulator::answer::{self, Answer};
use crate::simulator::devices::{Code, Devices, Mishap, No, Standing, is_on_whatsapp};
use crate::simulator::{micros, request};

/// How long a question for changes waits for one.
const CHANGES_WAIT: Duration = Duration::from_secs(15);

/// Bytes of a body: a code has 200.
const BODY_BYTES_MAX: usize = 4 * 1024;

/// The devices, and who waits for news of them.
#[derive(Debug)]
pub(super) struct DeviceDesk {
    devices: Mutex<Devices>,
    changed: Notify,
    /// Makes cursors of this run differ from those of another one.
    run: u64,
    clock: Clock,
}

/// The number of a phone, and what is shown to it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Phone {
    #[serde(default)]
    phone_number: String,
    #[serde(default)]
    qr: String,
    #[serde(default)]
    code: String,
}

/// Why something is not done, and how that is answered.
struct Refused(StatusCode, &'static str);

impl From<No> for Refused {
    fn from(no: No) -> Self {
        Self(StatusCode::CONFLICT, no.0)
    }
}

const NOT_THERE: Refused = Refused(StatusCode::NOT_FOUND, "There is nothing at this path.");
const NO_NUMBER: Refused = Refused(StatusCode::BAD_REQUEST, "phoneNumber: not a phone number");

impl DeviceDesk {
    /// Makes a desk without devices.
    pub(super) fn new(clock: Clock, seed: u64, run: u64) -> Self {
        Self { devices: Mutex::new(Devices::new(seed)), changed: Notify::new(), run, clock }
    }

    fn lock(&self) -> MutexGuard<'_, Devices> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_us(&self) -> u64 {
        micros(self.clock.now())
    }

    /// Answers a request whose path begins with `/devices/` or `/phones/`.
    pub(super) async fn serve(&self, head: &Parts, body: Incoming) -> Answer {
        match self.answer(head, body).await {
            Ok(value) => answer::json(StatusCode::OK, value.to_string()),
            Err(Refused(status, why)) => answer::json(status, json!({ "error": why }).to_string()),
        }
    }

    async fn answer(&self, head: &Parts, body: Incoming) -> Result<Value, Refused> {
        let path: Vec<&str> = head.uri.path().trim_start_matches('/').split('/').collect();
        match (&head.method, path.as_slice()) {
            (&Method::GET, ["devices", "v1", "changes"]) => {
                Ok(self.changes(head.uri.query().unwrap_or_default()).await)
            }
            (&Method::GET, ["devices", "v1", "hello"]) => {
                Ok(json!({ "protocol": 1, "program": "simulator", "sessionsMax": null }))
            }
            (&Method::GET, ["devices", "v1", "events"]) => Ok(self.events().await),
            (&Method::GET, ["devices", "v1", id, "groups"]) => self.groups(session(id)?),
            (&Method::POST, ["devices", "v1", id, verb]) => self.act(session(id)?, verb, &read(body).await?),
            (&Method::POST, ["phones", verb @ ("scan" | "type-in")]) => self.pair(verb, &read(body).await?),
            (&Method::POST, ["phones", id, word]) => self.befall(session(id)?, word),
            _ => Err(NOT_THERE),
        }
    }

    fn act(&self, id: Uuid, verb: &str, phone: &Phone) -> Result<Value, Refused> {
        let (now_us, mut devices) = (self.now_us(), self.lock());
        match verb {
            "connect" => devices.connect(id, now_us).map(drop)?,
            "disconnect" => drop(devices.disconnect(id, now_us)),
            "log-out" => drop(devices.log_out(id)),
            "pairing-code" => return Ok(code(&devices.pairing_code(id, &phone.number()?, now_us)?)),
            "check-number" => {
                connected(&devices, id)?;
                return Ok(json!({ "exists": is_on_whatsapp(&phone.number()?) }));
            }
            _ => return Err(NOT_THERE),
        }
        self.changed.notify_waiters();
        Ok(shown(&devices, id, now_us))
    }

    fn groups(&self, id: Uuid) -> Result<Value, Refused> {
        connected(&self.lock(), id)?;
        let group = |nth: u64, name: &str, participants: u32| {
            let number = id.as_u64_pair().1 >> 8;
            json!({ "id": format!("{}@g.us", number + nth), "name": name, "participants": participants })
        };
        Ok(json!({ "groups": [group(1, "Family", 7), group(2, "Customers", 212)] }))
    }

    fn pair(&self, verb: &str, phone: &Phone) -> Result<Value, Refused> {
        let (now_us, number, mut devices) = (self.now_us(), phone.number()?, self.lock());
        let id = match verb {
            "scan" => devices.scan(&phone.qr, &number, now_us)?,
            _ => devices.type_in(&phone.code, &number, now_us)?,
        };
        self.changed.notify_waiters();
        Ok(json!({ "session": id }))
    }

    fn befall(&self, id: Uuid, word: &str) -> Result<Value, Refused> {
        let mishap = match word {
            "lost" => Mishap::Lost,
            "back" => Mishap::Back,
            "logged-out" => Mishap::LoggedOut,
            "banned" => Mishap::Banned,
            "replaced" => Mishap::Replaced,
            _ => return Err(NOT_THERE),
        };
        self.lock().befall(id, mishap)?;
        self.changed.notify_waiters();
        Ok(json!({ "success": true }))
    }

    /// Tells of no receipts: those of the simulator all come as callbacks.
    async fn events(&self) -> Value {
        tokio::time::sleep(CHANGES_WAIT).await;
        json!({ "next": 0, "events": [] })
    }

    /// Returns the number of a device that can send.
    pub(super) fn number_of(&self, id: Uuid) -> Option<String> {
        let devices = self.lock();
        let device = devices.get(id).filter(|device| device.standing == Standing::Connected)?;
        device.phone.as_deref().map(str::to_owned)
    }

    /// Waits until something has changed since a cursor; one of another run knows nothing.
    async fn changes(&self, query: &str) -> Value {
        let cursor = query.strip_prefix("after=").and_then(|cursor| cursor.split_once('.'));
        let run = format!("{:x}", self.run);
        let after = cursor.filter(|(of, _)| *of == run).and_then(|(_, after)| after.parse().ok()).unwrap_or(0);
        let until = self.clock.now() + CHANGES_WAIT;
        loop {
            // Listens before it looks.
            let changed = self.changed.notified();
            let now = self.clock.now();
            let wake_at = {
                let (now_us, mut devices) = (micros(now), self.lock());
                let (ids, next) = devices.changed_after(after, now_us);
                if !ids.is_empty() || until <= now {
                    let device = |id: Uuid| {
                        let mut shown = shown(&devices, id, now_us);
                        shown["session"] = json!(id);
                        shown
                    };
                    let devices: Vec<_> = ids.into_iter().map(device).collect();
                    return json!({ "next": format!("{run}.{next}"), "devices": devices });
                }
                devices.next_change_us(now_us).map_or(until, |at_us| until.min(Moment(at_us.saturating_mul(1_000))))
            };
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(self.clock.instant_of(wake_at)) => {}
            }
        }
    }
}

impl Phone {
    fn number(&self) -> Result<String, Refused> {
        request::normalise(&self.phone_number).map(|number| number.into_owned()).ok_or(NO_NUMBER)
    }
}

fn session(id: &str) -> Result<Uuid, Refused> {
    id.parse().map_err(|_| NOT_THERE)
}

fn connected(devices: &Devices, id: Uuid) -> Result<(), Refused> {
    let is_connected = devices.get(id).is_some_and(|device| device.standing == Standing::Connected);
    if is_connected { Ok(()) } else { Err(Refused(StatusCode::NOT_FOUND, "The device is not connected.")) }
}

fn shown(devices: &Devices, id: Uuid, now_us: u64) -> Value {
    let Some(device) = devices.get(id) else { return json!({ "state": "logged_out" }) };
    let state = match device.standing {
        Standing::Pairing { .. } => "qr_pending",
        Standing::Connected => "connected",
        Standing::Reconnecting => "reconnecting",
        Standing::Disconnected => "disconnected",
        Standing::LoggedOut => "logged_out",
        Standing::Banned => "banned",
        Standing::Replaced => "replaced",
    };
    let qr = devices.qr(id, now_us).as_ref().map(code);
    json!({ "state": state, "phoneNumber": device.phone, "qr": qr })
}

fn code(code: &Code) -> Value {
    json!({ "code": code.text, "expiresAtMs": code.until_us / 1_000 })
}

async fn read(body: Incoming) -> Result<Phone, Refused> {
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
    let body = body.map_err(|_| Refused(StatusCode::BAD_REQUEST, "The body is too long."))?.to_bytes();
    if body.is_empty() || &body[..] == b"null" {
        return Ok(Phone::default());
    }
    serde_json::from_slice(&body).map_err(|_| Refused(StatusCode::BAD_REQUEST, "The body can not be read."))
}
