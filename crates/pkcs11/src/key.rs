//! A private key in a token, opened and used.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use attest::digest::Hasher;
use attest::secret::{SignError, Signer};
use attest::{Algorithm, Digest, PublicKey, Scheme};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use zeroize::Zeroizing;

use crate::format;
use crate::uri::Uri;

/// A private key in a token. Its bytes are never in this process; the PIN is, and is shown nowhere.
pub struct Key {
    uri: Uri,
    module: Pkcs11,
    pin: Zeroizing<String>,
    public: PublicKey,
    /// PKCS#11 sessions are for one thread at a time.
    open: Mutex<Option<Open>>,
}

/// A session that is logged in, and the key's place in it.
struct Open {
    session: Session,
    private: ObjectHandle,
}

/// Why a key in a token cannot be used. None of them holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Nothing says which module.
    NoModule,
    /// The module cannot be loaded.
    Module(PathBuf, String),
    /// No token of that name; what there is.
    NoToken {
        /// The token in words.
        wanted: String,
        /// The labels of the tokens there are.
        found: Vec<String>,
    },
    /// More than one token of that name.
    Tokens(String),
    /// The PIN is wrong.
    Pin(String),
    /// The token accepts no more PINs.
    PinLocked(String),
    /// No private key of that name; the names there are.
    NoKey {
        /// The key in words.
        wanted: String,
        /// The token in words.
        token: String,
        /// The labels of the private keys there are.
        found: Vec<String>,
    },
    /// More than one private key of that name.
    Keys {
        /// The key in words.
        wanted: String,
        /// How many there are.
        count: usize,
    },
    /// The public half is not in the token, or not once.
    NoPublic(String),
    /// A kind of key we do not sign with.
    Kind(String),
    /// The token did not do its part.
    Token(String),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &[String]| match names {
            [] => "none".to_owned(),
            names => names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", "),
        };
        match self {
            Self::NoModule => f.write_str(
                "nothing says which PKCS#11 module to load (wanted module-path=/PATH.so in the URI)",
            ),
            Self::Module(path, why) => {
                write!(f, "the PKCS#11 module {} cannot be loaded: {why}", path.display())
            }
            Self::NoToken { wanted, found } => {
                write!(f, "there is no token {wanted}; there is {}", list(found))
            }
            Self::Tokens(wanted) => {
                write!(f, "there is more than one token {wanted}: add serial=NUMBER to the URI")
            }
            Self::Pin(token) => write!(f, "the PIN does not open the token {token}"),
            Self::PinLocked(token) => write!(f, "the token {token} is locked after too many wrong PINs"),
            Self::NoKey { wanted, token, found } => {
                write!(f, "the token {token} has no private key {wanted}; it has {}", list(found))
            }
            Self::Keys { wanted, count } => {
                write!(f, "the token has {count} private keys {wanted}: add id=%HEX to the URI to say which")
            }
            Self::NoPublic(key) => {
                write!(f, "the public half of the key {key} is not in the token exactly once")
            }
            Self::Kind(key) => write!(f, "the key {key} is not one on P-256, P-384 or Ed25519"),
            Self::Token(why) => write!(f, "the token failed: {why}"),
        }
    }
}
impl std::error::Error for OpenError {}

impl Key {
    /// Opens the key that a URI names. The module is the URI's, else the one given.
    ///
    /// # Errors
    /// [`OpenError`] saying what is missing, or there twice.
    pub fn open(uri: &Uri, module: Option<&Path>, pin: Zeroizing<String>) -> Result<Self, OpenError> {
        let path = uri.module_path().or(module).ok_or(OpenError::NoModule)?;
        let module = load(path)?;
        let (open, public) = open(&module, uri, &pin)?;
        Ok(Self { uri: uri.clone(), module, pin, public, open: Mutex::new(Some(open)) })
    }

    /// Signs in the session there is; after a reset of the token, once more in a new one.
    fn sign_somehow(&self, message: &[u8]) -> Option<Vec<u8>> {
        let mut held = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = held.as_ref() {
            match sign(open, self.public.scheme(), message) {
                Ok(signature) => return Some(signature),
                Err(e) if is_lost(&e) => {}
                Err(_) => return None,
            }
        }
        // the old session goes first: a token may allow no second one, and logging out ends every session's login
        *held = None;
        let (open, public) = open(&self.module, &self.uri, &self.pin).ok()?;
        // another token under the old name does not speak for the key that was opened
        if public != self.public {
            return None;
        }
        let signature = sign(&open, self.public.scheme(), message).ok();
        *held = Some(open);
        signature
    }
}

impl Signer for Key {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let raw = self.sign_somehow(message).ok_or(SignError)?;
        let signature = match self.public.scheme() {
            Scheme::P256 | Scheme::P384 => format::ecdsa_der(&raw).ok_or(SignError)?,
            _ => raw,
        };
        // a faulty token must not have its slip published, and a faulty signature can betray a key
        self.public.verify_der(message, &signature).or(Err(SignError))?;
        Ok(signature)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.public)
    }
}

fn load(path: &Path) -> Result<Pkcs11, OpenError> {
    let failed = |why: &Error| OpenError::Module(path.to_owned(), words(why));
    let module = Pkcs11::new(path).map_err(|e| failed(&e))?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        // one process may use two keys of one module
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(module),
        Err(e) => Err(failed(&e)),
    }
}

/// Token, session, PIN, key, public half: each there exactly once.
fn open(module: &Pkcs11, uri: &Uri, pin: &str) -> Result<(Open, PublicKey), OpenError> {
    let failed = |e: Error| OpenError::Token(words(&e));
    let slot = find_token(module, uri)?;
    let session = module.open_ro_session(slot).map_err(failed)?;
    match session.login(UserType::User, Some(&AuthPin::from(pin.to_owned()))) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
        Err(Error::Pkcs11(RvError::PinLocked, _)) => return Err(OpenError::PinLocked(uri.token_in_words())),
        Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _)) => {
            return Err(OpenError::Pin(uri.token_in_words()));
        }
        Err(e) => return Err(failed(e)),
    }
    let private = find_private(&session, uri)?;
    let public = read_public(&session, uri, private)?;
    Ok((Open { session, private }, public))
}

fn find_token(module: &Pkcs11, uri: &Uri) -> Result<Slot, OpenError> {
    let failed = |e: Error| OpenError::Token(words(&e));
    let (mut fitting, mut found) = (Vec::new(), Vec::new());
    for slot in module.get_slots_with_token().map_err(failed)? {
        let token = module.get_token_info(slot).map_err(failed)?;
        // a slot for a token that nobody has set up
        if !token.token_initialized() {
            continue;
        }
        if uri.names_token(token.label(), token.serial_number()) {
            fitting.push(slot);
        }
        found.push(token.label().to_owned());
    }
    match fitting.as_slice() {
        [slot] => Ok(*slot),
        [] => Err(OpenError::NoToken { wanted: uri.token_in_words(), found }),
        _ => Err(OpenError::Tokens(uri.token_in_words())),
    }
}

fn find_private(session: &Session, uri: &Uri) -> Result<ObjectHandle, OpenError> {
    let failed = |e: Error| OpenError::Token(words(&e));
    let class = Attribute::Class(ObjectClass::PRIVATE_KEY);
    let mut template = vec![class.clone()];
    template.extend(uri.object().map(|name| Attribute::Label(name.as_bytes().to_vec())));
    template.extend(uri.id().map(|id| Attribute::Id(id.to_vec())));
    let wanted = uri.key_in_words();
    match session.find_objects(&template).map_err(failed)?.as_slice() {
        [key] => Ok(*key),
        [] => {
            let all = session.find_objects(&[class]).map_err(failed)?;
            let found = all.iter().filter_map(|key| label(session, *key)).collect();
            Err(OpenError::NoKey { wanted, token: uri.token_in_words(), found })
        }
        several => Err(OpenError::Keys { wanted, count: several.len() }),
    }
}

fn label(session: &Session, key: ObjectHandle) -> Option<String> {
    let attributes = session.get_attributes(key, &[AttributeType::Label]).ok()?;
    attributes.into_iter().find_map(|a| match a {
        Attribute::Label(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        _ => None,
    })
}

/// The public half: the public key object with the private key's id, which is how PKCS#11 pairs them.
fn read_public(session: &Session, uri: &Uri, private: ObjectHandle) -> Result<PublicKey, OpenError> {
    let failed = |e: Error| OpenError::Token(words(&e));
    let attributes = session.get_attributes(private, &[AttributeType::Id]).map_err(failed)?;
    let mut template = vec![Attribute::Class(ObjectClass::PUBLIC_KEY)];
    template.extend(attributes.into_iter().filter(|a| matches!(a, Attribute::Id(_))));
    let found = session.find_objects(&template).map_err(failed)?;
    let [public] = found.as_slice() else { return Err(OpenError::NoPublic(uri.key_in_words())) };
    let wanted = [AttributeType::EcParams, AttributeType::EcPoint];
    let attributes = session.get_attributes(*public, &wanted).map_err(failed)?;
    let (mut parameters, mut point) = (None, None);
    for attribute in attributes {
        match attribute {
            Attribute::EcParams(bytes) => parameters = Some(bytes),
            Attribute::EcPoint(bytes) => point = Some(bytes),
            _ => {}
        }
    }
    let key = || format::public_key(format::scheme(&parameters?)?, &point?);
    key().ok_or_else(|| OpenError::Kind(uri.key_in_words()))
}

/// What the token gives: `r || s` for ECDSA over our own digest, since not every token hashes.
fn sign(open: &Open, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>, Error> {
    let ed25519 = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519));
    let digest = |algorithm| {
        let mut hasher = Hasher::new(&[algorithm]);
        hasher.update(message);
        hasher.finish().get(algorithm).map(|d: Digest| d.bytes().to_vec()).ok_or(Error::NotSupported)
    };
    match scheme {
        Scheme::P256 => open.session.sign(&Mechanism::Ecdsa, open.private, &digest(Algorithm::Sha256)?),
        Scheme::P384 => open.session.sign(&Mechanism::Ecdsa, open.private, &digest(Algorithm::Sha384)?),
        _ => open.session.sign(&ed25519, open.private, message),
    }
}

/// Whether a new session may help: the token was reset, taken out and put back, or logged out by somebody.
fn is_lost(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::SessionHandleInvalid
                | RvError::SessionClosed
                | RvError::UserNotLoggedIn
                | RvError::DeviceRemoved
                | RvError::DeviceError
                | RvError::TokenNotPresent
                | RvError::KeyHandleInvalid
                | RvError::ObjectHandleInvalid
                | RvError::GeneralError,
            _
        )
    )
}

/// The standard's name for what went wrong, in plain words and without its long explanations.
fn words(error: &Error) -> String {
    let Error::Pkcs11(code, function) = error else { return error.to_string().to_lowercase() };
    let mut out = String::new();
    for letter in format!("{code:?} in {function:?}").chars() {
        if letter.is_ascii_uppercase() && !out.is_empty() && !out.ends_with(' ') {
            out.push(' ');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

    /// SoftHSM finds its tokens through the environment, so what uses it runs in a child process.
    #[test]
    fn a_token_that_was_reset_is_opened_once_more_and_never_another_key_in_its_place() {
        if !Path::new(MODULE).exists() {
            eprintln!("\n*** SKIPPED: no SoftHSM; run cargo xtask setup. This test checked NOTHING ***\n");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        std::fs::create_dir(at("tokens")).unwrap();
        std::fs::write(at("conf"), format!("directories.tokendir = {}\n", at("tokens"))).unwrap();
        let run = |program: &str, args: &[&str]| {
            let output = Command::new(program).args(args).env("SOFTHSM2_CONF", at("conf")).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{program} {args:?}\n{text}");
            text.into_owned()
        };
        run(
            "softhsm2-util",
            &["--init-token", "--free", "--label", "t", "--pin", "4321", "--so-pin", "4321"],
        );
        for (label, id) in [("a", "01"), ("b", "02")] {
            let key = ["--keypairgen", "--key-type", "EC:prime256v1", "--label", label, "--id", id];
            let token = ["--module", MODULE, "--token-label", "t", "--login", "--pin", "4321"];
            run("pkcs11-tool", &[&token[..], &key].concat());
        }
        let own = std::env::current_exe().unwrap();
        let text = run(own.to_str().unwrap(), &["--ignored", "--exact", "key::tests::in_a_child"]);
        assert!(text.contains("1 passed"), "{text}");
    }

    #[test]
    #[ignore = "run by the test above, with a token"]
    fn in_a_child() {
        let uri = |object: &str| Uri::parse(&format!("pkcs11:token=t;object={object}")).unwrap();
        let open =
            |object| Key::open(&uri(object), Some(Path::new(MODULE)), "4321".to_owned().into()).unwrap();
        let mut key = open("a");
        // what a session sees of a reset: nobody is logged in any more, and the key's place is void
        let reset = |key: &Key| key.open.lock().unwrap().as_ref().unwrap().session.logout().unwrap();
        for _ in 0..3 {
            let signature = key.sign(b"message").unwrap();
            key.public().verify_der(b"message", &signature).unwrap();
            reset(&key);
        }
        // after the reset, another key has the name
        key.uri = uri("b");
        assert_eq!(key.sign(b"message"), Err(SignError));
        // a PIN that was changed meanwhile is tried once, and shown nowhere
        key.uri = uri("a");
        key.pin = "9999".to_owned().into();
        assert_eq!(key.sign(b"message"), Err(SignError));
        assert!(!format!("{key:?}").contains("9999"));
        // and the right one again
        key.pin = "4321".to_owned().into();
        key.sign(b"message").unwrap();
    }
}
