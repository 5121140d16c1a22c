//! Keys of programs that call the API: made, shown once, changed, and proved.
//!
//! A key belongs to its tenant and not to whoever made it. It is checked against what the node read of it at most
//! [`API_KEY_BELIEVED`] ago. Which operation needs which scope is not decided here.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use secrecy::SecretString;
use subtle::ConstantTimeEq;

use self::known::KnownKeys;
use crate::clock::Moment;
use crate::domain::api_key::Scope;
use crate::domain::id::{ApiKeyId, TenantId, UserId};
use crate::error::{Error, Problems, Result};
use crate::limits::{API_KEY_NETWORKS_MAX, API_KEYS_PER_TENANT_MAX};
use crate::service::Tools;
use crate::service::check::check_name;
use crate::store::api_keys::{ApiKeyRecord, KeyTerms, KeyTermsChange};
use crate::store::audit::Actor;

#[cfg(doc)]
use crate::limits::API_KEY_BELIEVED;

mod known;

mod secret;

/// Characters of a key's name, at most.
const NAME_CHARS_MAX: usize = 100;

/// A key to make.
#[derive(Debug, Clone, Default)]
pub struct NewApiKey {
    /// What people call it; 1 to 100 characters.
    pub name: String,
    /// What it may do; at least one.
    pub scopes: Vec<Scope>,
    /// From where it may be used: addresses and networks; from everywhere when empty.
    pub allowed_ips: Vec<String>,
    /// From when on it is refused; never when none.
    pub expires_at: Option<Moment>,
}

/// A change of a key; what is none stays as it is.
#[derive(Debug, Clone, Default)]
pub struct ApiKeyChange {
    /// What people call it; 1 to 100 characters.
    pub name: Option<String>,
    /// What it may do; at least one.
    pub scopes: Option<Vec<Scope>>,
    /// From where it may be used; from everywhere when empty.
    pub allowed_ips: Option<Vec<String>>,
    /// From when on it is refused; an inner none takes the end away.
    pub expires_at: Option<Option<Moment>>,
}

/// A key whose secret is known this once.
#[derive(Debug, Clone)]
pub struct FreshApiKey {
    /// The key.
    pub record: ApiKeyRecord,
    /// What the program shows.
    pub secret: SecretString,
}

/// Keeps and proves API keys; cheap to clone.
#[derive(Debug, Clone)]
pub struct ApiKeyService {
    tools: Tools,
    known: Arc<KnownKeys>,
}

impl ApiKeyService {
    /// Makes the service.
    #[must_use]
    pub fn new(tools: Tools) -> Self {
        Self { tools, known: Arc::default() }
    }

    /// Makes a key.
    ///
    /// # Errors
    /// `Validation` by the fields `name`, `scopes`, `allowedIps`, `expiresAt`; `Conflict` when the tenant has as many
    /// as it may.
    pub async fn create(
        &self,
        tenant_id: TenantId,
        created_by: UserId,
        new: NewApiKey,
        actor: &Actor,
    ) -> Result<FreshApiKey> {
        let now = self.tools.clock.now();
        let terms = new.checked(now)?;
        let (secret, kept) = secret::draw();
        let record = ApiKeyRecord {
            id: ApiKeyId::generate(),
            tenant_id,
            terms,
            secret: kept,
            created_by,
            created_at_ms: now.as_ms(),
            last_used_at_ms: None,
        };
        if !self.tools.store.api_keys().insert(&record, API_KEYS_PER_TENANT_MAX, actor).await? {
            let message = format!("There are {API_KEYS_PER_TENANT_MAX} keys already: delete one that is not used.");
            return Err(Error::conflict(message));
        }
        Ok(FreshApiKey { record, secret })
    }

    /// Changes the terms of a key; its secret stays.
    ///
    /// # Errors
    /// `Validation` by the fields `name`, `scopes`, `allowedIps`, `expiresAt`; `NotFound`.
    pub async fn change(
        &self,
        tenant_id: TenantId,
        id: ApiKeyId,
        change: ApiKeyChange,
        actor: &Actor,
    ) -> Result<ApiKeyRecord> {
        let now = self.tools.clock.now();
        let change = change.checked(now)?;
        let changed = self.tools.store.api_keys().change((tenant_id, id), &change, actor, now.as_ms()).await;
        self.known.forget(id);
        changed?.ok_or(Error::NotFound("API key"))
    }

    /// Gives a key another secret; the one before is refused from now on.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn rotate(&self, tenant_id: TenantId, id: ApiKeyId, actor: &Actor) -> Result<FreshApiKey> {
        let (secret, kept) = secret::draw();
        let now_ms = self.tools.clock.now().as_ms();
        let rotated = self.tools.store.api_keys().rotate((tenant_id, id), &kept, actor, now_ms).await;
        self.known.forget(id);
        Ok(FreshApiKey { record: rotated?.ok_or(Error::NotFound("API key"))?, secret })
    }

    /// Removes a key; it is refused from now on.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete(&self, tenant_id: TenantId, id: ApiKeyId, actor: &Actor) -> Result<()> {
        let now_ms = self.tools.clock.now().as_ms();
        let deleted = self.tools.store.api_keys().delete(tenant_id, id, actor, now_ms).await;
        self.known.forget(id);
        if deleted? { Ok(()) } else { Err(Error::NotFound("API key")) }
    }

    /// Tells whose key somebody shows, from where it comes; its use is remembered.
    ///
    /// # Errors
    /// `Unauthorized` when it is no key, unknown, or expired; `AddressRefused` when it is not to be used from there.
    pub async fn verify(&self, shown: &str, from: Option<IpAddr>) -> Result<Arc<ApiKeyRecord>> {
        let prefix = secret::prefix_of(shown).ok_or(Error::Unauthorized)?;
        let now = self.tools.clock.now();
        let key = match self.known.read.get(prefix, now) {
            Some(key) => key,
            None => {
                let before = self.known.read.before();
                let found = self.tools.store.api_keys().find_by_prefix(prefix).await?.ok_or(Error::Unauthorized)?;
                let key = Arc::new(found);
                self.known.read.put(prefix.to_owned(), Arc::clone(&key), (now, before));
                key
            }
        };
        let is_same = bool::from(key.secret.hash.ct_eq(&secret::hash_of(shown)));
        if !is_same || key.terms.expires_at_ms.is_some_and(|at_ms| at_ms <= now.as_ms()) {
            return Err(Error::Unauthorized);
        }
        if !allows(&key.terms.allowed_ips, from) {
            return Err(Error::AddressRefused);
        }
        self.known.note_use(key.id, now);
        Ok(key)
    }

    /// Writes down when keys were used since the last time; to be called about once a minute on every node.
    ///
    /// # Errors
    /// `Store` when nothing was written; what was to be written is not kept.
    pub async fn write_uses(&self) -> Result<()> {
        let uses = self.known.take_uses();
        if uses.is_empty() {
            return Ok(());
        }
        Ok(self.tools.store.api_keys().note_uses(&uses).await?)
    }
}

/// Tells whether a key may be used from an address; one that is not known is in no network.
fn allows(networks: &[IpNet], from: Option<IpAddr>) -> bool {
    networks.is_empty() || from.is_some_and(|ip| networks.iter().any(|network| network.contains(&ip.to_canonical())))
}

impl NewApiKey {
    fn checked(self, now: Moment) -> Result<KeyTerms> {
        let Self { name, scopes, allowed_ips, expires_at } = self;
        let (name, scopes) = (Some(name), Some(scopes));
        let all = ApiKeyChange { name, scopes, allowed_ips: Some(allowed_ips), expires_at: Some(expires_at) };
        let KeyTermsChange { name, scopes, allowed_ips, expires_at_ms } = all.checked(now)?;
        Ok(KeyTerms {
            name: name.unwrap_or_default(),
            scopes: scopes.unwrap_or_default(),
            allowed_ips: allowed_ips.unwrap_or_default(),
            expires_at_ms: expires_at_ms.flatten(),
        })
    }
}

impl ApiKeyChange {
    fn checked(self, now: Moment) -> Result<KeyTermsChange> {
        let mut problems = Problems::default();
        let name = self.name.map(|name| check_name("name", &name, NAME_CHARS_MAX, &mut problems));
        let scopes = self.scopes.map(|mut scopes| {
            if scopes.is_empty() {
                problems.push("scopes", "must name at least one scope");
            }
            scopes.sort_unstable();
            scopes.dedup();
            scopes
        });
        let allowed_ips = self.allowed_ips.map(|given| check_networks(&given, &mut problems));
        if self.expires_at.flatten().is_some_and(|at| at <= now) {
            problems.push("expiresAt", "must be in the future");
        }
        problems.check()?;
        let expires_at_ms = self.expires_at.map(|at| at.map(Moment::as_ms));
        Ok(KeyTermsChange { name, scopes, allowed_ips, expires_at_ms })
    }
}

/// Reads addresses and networks, each as the network that it stands for.
fn check_networks(given: &[String], problems: &mut Problems) -> Vec<IpNet> {
    if API_KEY_NETWORKS_MAX < given.len() {
        problems.push("allowedIps", format!("must have at most {API_KEY_NETWORKS_MAX} networks"));
        return vec![];
    }
    let mut networks = Vec::with_capacity(given.len());
    for (at, text) in given.iter().enumerate() {
        let address = text.parse::<IpAddr>().map(|ip| IpNet::from(ip.to_canonical()));
        match address.ok().or_else(|| text.parse::<IpNet>().ok()) {
            Some(network) if !networks.contains(&network.trunc()) => networks.push(network.trunc()),
            Some(_) => {}
            None => {
                problems.push(format!("allowedIps[{at}]"), "must be an address or a network such as 203.0.113.0/24")
            }
        }
    }
    networks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(given: &[&str]) -> Result<Vec<String>, String> {
        let given: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
        let mut problems = Problems::default();
        let networks = check_networks(&given, &mut problems);
        match problems.check() {
            Ok(()) => Ok(networks.iter().map(ToString::to_string).collect()),
            Err(Error::Validation(problems)) => Err(problems[0].field.to_string()),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn networks_are_read_as_people_write_them() {
        let given = ["203.0.113.7", "10.1.2.3/8", "2001:db8::7/32", "::1", "::ffff:192.0.2.1", "10.0.0.0/8"];
        let read = ["203.0.113.7/32", "10.0.0.0/8", "2001:db8::/32", "::1/128", "192.0.2.1/32"];
        assert_eq!(networks(&given), Ok(read.map(str::to_owned).to_vec()));
        for bad in ["", "10.0.0.0/33", "10.0.0", "example.com", "10.0.0.0/8 ", "010.0.0.1", "10.0.0.0/-1", "::/129"] {
            assert_eq!(networks(&["::1", bad]), Err("allowedIps[1]".to_owned()), "{bad:?}");
        }
        assert_eq!(networks(&vec!["::1"; API_KEY_NETWORKS_MAX + 1]), Err("allowedIps".to_owned()));
    }

    #[test]
    fn a_key_is_used_from_its_networks() {
        let given: Vec<IpNet> = vec!["203.0.113.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        let check = |ip: &str| allows(&given, Some(ip.parse().unwrap()));
        assert!(check("203.0.113.255") && check("2001:db8:ffff::1") && check("::ffff:203.0.113.1"));
        assert!(!check("203.0.114.0") && !check("2001:db9::1") && !check("127.0.0.1"));
        assert!(!allows(&given, None) && allows(&[], None));
    }
}
