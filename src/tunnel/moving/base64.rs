//! Bytes as text, for formats that have no bytes.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Bytes that are written as base64, and read if `T` can hold them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Base64<T>(pub T);

impl<T: AsRef<[u8]>> Serialize for Base64<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(&self.0))
    }
}

impl<'de, T: for<'b> TryFrom<&'b [u8]>> Deserialize<'de> for Base64<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64_STANDARD.decode(text).map_err(D::Error::custom)?;
        let held = T::try_from(&bytes);
        held.map(Self).map_err(|_| {
            D::Error::custom(format!("{} bytes are not what belongs here", bytes.len()))
        })
    }
}
