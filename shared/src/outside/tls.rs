//! What our clients trust: the roots of the system, read when the first server is proved. Reading them is most of
//! the start of a process, and many functions never call out.

use std::sync::{Arc, LazyLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

/// One for all clients of the process. `None` if the system has no usable root: then no server is trusted.
static VERIFIER: LazyLock<Option<Arc<WebPkiServerVerifier>>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&PROVIDER)).build().ok()
});

/// Reads the roots now: where a first call has less time than that takes.
pub(super) fn read_roots() {
    LazyLock::force(&VERIFIER);
}

/// The configuration of a client that speaks this protocol and no other.
pub(super) fn config(protocol: &[u8]) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER));
    let builder = builder.with_safe_default_protocol_versions().expect("the provider has TLS 1.2 and 1.3");
    // The name means that a verifier of one's own may be wrong: this one leaves every decision to the usual one.
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(SystemRoots));
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    config
}

#[derive(Debug)]
struct SystemRoots;

impl ServerCertVerifier for SystemRoots {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verifier =
            VERIFIER.as_ref().ok_or_else(|| Error::General("the system has no roots of TLS".into()))?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &PROVIDER.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &PROVIDER.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject;
    use rustls::{CertificateError, ClientConnection, ServerConfig, ServerConnection};

    use super::*;

    /// A certificate that is its own root, for this test alone.
    const STRANGER: &[u8] = include_bytes!("../../fixtures/tls/stranger.pem");

    /// Both ends of a handshake, without a network; what the client says to the server's certificate.
    fn shake_hands(client: ClientConfig, name: &'static str) -> Result<(), Error> {
        let cert = CertificateDer::from_pem_slice(STRANGER).unwrap();
        let key =
            PrivateKeyDer::from_pem_slice(include_bytes!("../../fixtures/tls/stranger_key.pem")).unwrap();
        let server = ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert], key)
            .unwrap();
        let mut server = ServerConnection::new(Arc::new(server)).unwrap();
        let name = ServerName::try_from(name).unwrap();
        let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
        while client.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut &bytes[..]).unwrap();
            server.process_new_packets()?;
            bytes.clear();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut &bytes[..]).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn a_server_that_no_root_proves_is_refused_and_one_that_a_root_proves_is_not() {
        let name = "stranger.example";
        let refused = shake_hands(config(b"http/1.1"), name).unwrap_err();
        assert_eq!(refused, Error::InvalidCertificate(CertificateError::UnknownIssuer));
        // The handshake itself is good: with nothing but the root that is missing, it passes.
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(STRANGER).unwrap()).unwrap();
        let trusting = || {
            let builder = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER));
            let builder = builder.with_safe_default_protocol_versions().unwrap();
            builder.with_root_certificates(roots.clone()).with_no_client_auth()
        };
        shake_hands(trusting(), name).unwrap();
        assert!(shake_hands(trusting(), "other.example").is_err());
    }

    #[test]
    fn the_system_has_roots() {
        assert!(VERIFIER.is_some());
    }
}
