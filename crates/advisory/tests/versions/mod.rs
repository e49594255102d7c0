//! Seeded versions: as ecosystems write them, and as nobody should.
#![allow(dead_code, reason = "not every test uses every function")]

use advisory::Order;

/// splitmix64: the same sample on every machine.
pub struct Seeded(pub u64);

impl Seeded {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    pub fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len() as u64) as usize]
    }

    pub fn maybe(&mut self, text: impl FnOnce(&mut Self) -> String) -> String {
        if self.below(2) == 0 { String::new() } else { text(self) }
    }

    fn number(&mut self) -> String {
        match self.below(12) {
            0 => "20260102030405".to_owned(),
            1 => "10".to_owned(),
            _ => self.below(4).to_string(),
        }
    }

    pub fn numbers(&mut self, least: u64, most: u64) -> String {
        let count = least + self.below(most - least + 1);
        (0..count).map(|_| self.number()).collect::<Vec<_>>().join(".")
    }

    /// A version as its ecosystem writes it.
    pub fn proper(&mut self, order: Order) -> String {
        match order {
            Order::SemVer | Order::Pub => self.semver(3),
            Order::NuGet => self.semver(4),
            Order::PyPi => self.pep440(),
            Order::Maven => self.maven(),
            Order::RubyGems => {
                let word =
                    |s: &mut Self| format!(".{}{}", s.of(&["a", "b", "rc", "pre", "beta."]), s.below(12));
                self.numbers(1, 4) + &self.maybe(word)
            }
            Order::Packagist => {
                let word = |s: &mut Self| {
                    format!("-{}{}", s.of(&["dev", "alpha", "b", "RC", "pl", "patch"]), s.below(4))
                };
                self.numbers(1, 4) + &self.maybe(word)
            }
            Order::Dpkg => {
                let epoch = self.maybe(|s| format!("{}:", s.below(3)));
                let word = |s: &mut Self| {
                    format!("{}{}", s.of(&["~rc", "+dfsg", ".", "a", "~", "~~", "+git"]), s.below(12))
                };
                let upstream = self.numbers(1, 3) + &self.maybe(word) + &self.maybe(word);
                epoch
                    + &upstream
                    + &self.maybe(|s| format!("-{}", s.numbers(1, 2)))
                    + &self
                        .maybe(|s| format!("-{}{}", s.below(3), s.of(&["ubuntu1", "+deb12u1", "~bpo1", ""])))
            }
            Order::Apk => {
                let letter = self.maybe(|s| s.of(&["a", "b", "z"]).to_owned());
                let suffix =
                    |s: &mut Self| format!("_{}{}", s.of(&["alpha", "pre", "rc", "git", "p"]), s.below(3));
                self.numbers(1, 4)
                    + &letter
                    + &self.maybe(suffix)
                    + &self.maybe(|s| format!("-r{}", s.below(12)))
            }
            Order::Rpm => {
                let epoch = self.maybe(|s| format!("{}:", s.below(3)));
                let word = |s: &mut Self| format!("{}{}", s.of(&["~rc", "^git", "_", "p", "."]), s.below(12));
                epoch
                    + &self.numbers(1, 3)
                    + &self.maybe(word)
                    + &self.maybe(|s| format!("-{}.el{}", s.below(12), s.below(10)))
            }
            Order::Hackage | Order::Cran => self.numbers(1, 4),
        }
    }

    fn semver(&mut self, most: u64) -> String {
        let pre = |s: &mut Self| {
            let word = |s: &mut Self| s.of(&["alpha", "beta", "rc", "Rc", "0", "1", "10", "x-1"]).to_owned();
            format!("-{}{}", word(s), s.maybe(|s| format!(".{}", word(s))))
        };
        let build = |s: &mut Self| format!("+{}", s.of(&["build", "1", "2.a"]));
        self.numbers(3, most) + &self.maybe(pre) + &self.maybe(build)
    }

    fn pep440(&mut self) -> String {
        let epoch = if self.below(8) == 0 { "1!" } else { "" };
        let pre = |s: &mut Self| {
            format!(
                "{}{}{}",
                s.of(&["", ".", "-", "_"]),
                s.of(&["a", "b", "rc", "alpha", "C", "preview"]),
                s.maybe(|s| s.below(3).to_string())
            )
        };
        let post = |s: &mut Self| format!("{}{}", s.of(&[".post", "-", "-r", "rev", "_post_"]), s.below(3));
        let dev = |s: &mut Self| format!("{}{}", s.of(&[".dev", "dev", "-dev"]), s.below(3));
        let local = |s: &mut Self| format!("+{}", s.of(&["1", "2", "abc", "abc.1", "ABC-2", "1.abc"]));
        let release = self.numbers(1, 4);
        format!("{epoch}{release}")
            + &self.maybe(pre)
            + &self.maybe(post)
            + &self.maybe(dev)
            + &self.maybe(local)
    }

    fn maven(&mut self) -> String {
        let word = |s: &mut Self| {
            let words =
                ["alpha", "beta", "M", "RC", "SNAPSHOT", "Final", "GA", "sp", "jre", "foo", "RELEASE", "x"];
            format!("{}{}{}", s.of(&["-", "."]), s.of(&words), s.maybe(|s| (1 + s.below(12)).to_string()))
        };
        self.numbers(1, 4) + &self.maybe(word)
    }

    /// Anything.
    pub fn noise(&mut self) -> String {
        let pieces = [
            "",
            "0",
            "00",
            "1",
            "01",
            "9",
            "99999999999999999999",
            ".",
            "-",
            "_",
            "+",
            "~",
            "^",
            ":",
            "!",
            "a",
            "z",
            "A",
            "rc",
            "alpha",
            "dev",
            "sp",
            "ga",
            "final",
            "-r",
            "_p",
            "é",
            " ",
            "/",
            "\u{0}",
            "v",
            "=",
            "snapshot",
            "pl",
            "p",
            "..",
            "--",
        ];
        (0..self.below(8)).map(|_| self.of(&pieces)).collect()
    }
}
