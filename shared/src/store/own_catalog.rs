//! The owner's own catalogue: one object below `config/` of the media bucket.

use aws_sdk_s3::primitives::ByteStream;

use sha2::{Digest, Sha256};

use super::{Error, S3};

/// Where an owner's own catalogue is.
#[derive(Debug, Clone)]
pub struct OwnCatalog {
    client: S3,
    bucket: String,
    key: String,
}

impl OwnCatalog {
    /// The largest catalogue.
    pub const BYTES_MAX: usize = 1024 * 1024;
    /// Where functions may read it.
    pub const PREFIX: &str = "config/";

    /// The key of a text: its own for each, so that an object never changes under a running function.
    pub fn key_of(text: &str) -> String {
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(text));
        format!("{}catalog-{}", Self::PREFIX, &digest[..16])
    }

    pub fn new(client: S3, bucket: impl Into<String>, key: impl Into<String>) -> Self {
        Self { client, bucket: bucket.into(), key: key.into() }
    }

    /// From `s3://BUCKET/KEY`; `None` if it is no such address.
    pub fn at(client: S3, address: &str) -> Option<Self> {
        let (bucket, key) = address.strip_prefix("s3://")?.split_once('/')?;
        Some(Self::new(client, bucket, key))
    }

    /// Its text.
    ///
    /// # Errors
    ///
    /// If there is no such object, or it is larger than 1 MiB or not UTF-8.
    pub async fn read(&self) -> Result<String, Error> {
        let doing = "read the catalogue";
        let object = self.client.get_object().bucket(&self.bucket).key(&self.key).send().await;
        let object = object.map_err(|source| Error::sdk(doing, source))?;
        let length = object.content_length().and_then(|length| usize::try_from(length).ok());
        if length.is_none_or(|length| length > Self::BYTES_MAX) {
            return Err(Error::corrupt(doing, format!("it is larger than {} bytes", Self::BYTES_MAX)));
        }
        let bytes = object.body.collect().await.map_err(|source| Error::failed(doing, source))?;
        String::from_utf8(bytes.to_vec()).map_err(|source| Error::corrupt(doing, source))
    }

    /// Writes its text.
    pub async fn write(&self, text: &str) -> Result<(), Error> {
        let put = self.client.put_object().bucket(&self.bucket).key(&self.key);
        let put = put.content_type("application/toml").body(ByteStream::from(text.as_bytes().to_vec()));
        put.send().await.map(|_| ()).map_err(|source| Error::sdk("write the catalogue", source))
    }
}
