//! stub
/// r
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct MessageSpec(pub String);
/// r
#[derive(Clone, PartialEq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Variables(pub std::collections::BTreeMap<String,String>);
