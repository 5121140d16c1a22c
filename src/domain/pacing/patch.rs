//! Changes of settings as clients write them: fields that are given replace, `null` removes, the others stay.
//!
//! Only the merging and the reading; whether the result is in range is asked of it afterwards.

use serde_json::{Map, Value};

use super::{PacingSettings, SettingProblem};

impl PacingSettings {
    /// Names of all fields, as clients write them.
    pub const FIELDS: [&'static str; 12] = [
        "profile",
        "ratePerMinute",
        "burst",
        "jitter",
        "breaks",
        "hourlyCap",
        "dailyCap",
        "cold",
        "slowStartSeconds",
        "hours",
        "pairIntervalMs",
        "tier",
    ];

    /// Returns the settings after a change, checked.
    ///
    /// # Errors
    /// All problems, each with its field: those of fields that can not be read, and those of fields out of range.
    pub fn changed(&self, change: Map<String, Value>) -> Result<Self, Vec<SettingProblem>> {
        let mut problems = Vec::new();
        let Ok(Value::Object(mut merged)) = serde_json::to_value(self) else {
            return Err(vec![SettingProblem { field: "settings".to_owned(), rule: "can not be read".to_owned() }]);
        };
        for (name, value) in change {
            let mut alone = Map::new();
            if let Some(present) = merged.remove(&name) {
                alone.insert(name.clone(), present);
            }
            merge(&mut alone, name, value);
            match serde_path_to_error::deserialize::<_, Self>(Value::Object(alone.clone())) {
                Ok(_) => merged.append(&mut alone),
                Err(error) => {
                    let field = error.path().to_string();
                    problems.push(SettingProblem { field, rule: error.into_inner().to_string() });
                }
            }
        }
        match serde_json::from_value::<Self>(Value::Object(merged)) {
            Ok(mut settings) => {
                settings.cold = settings.cold.filter(|cold| *cold != super::ColdSettings::default());
                problems.extend(settings.check().err().unwrap_or_default());
                if problems.is_empty() { Ok(settings) } else { Err(problems) }
            }
            Err(_) => Err(problems),
        }
    }
}

/// Puts a value in its place; objects are merged field by field, `null` removes.
fn merge(into: &mut Map<String, Value>, name: String, value: Value) {
    match value {
        Value::Null => {
            into.remove(&name);
        }
        Value::Object(fields) => {
            let inner = into.entry(name).or_insert_with(|| Value::Object(Map::new()));
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            if let Value::Object(inner) = inner {
                for (name, value) in fields {
                    merge(inner, name, value);
                }
            }
        }
        value => {
            into.insert(name, value);
        }
    }
}
