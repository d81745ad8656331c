//! Decimal digits of floats by Grisu2 (Loitsch, "Printing Floating-Point Numbers Quickly and Accurately with Integers",
//! 2010) in the variant of nlohmann's JSON library, which Nix prints JSON with. The digits always read back as the same
//! number, but once in about a thousand numbers they are not the shortest or not the closest ones, so any exact
//! algorithm would differ.

/// A floating point number `f × 2^e` with 64 bits of precision.
#[derive(Clone, Copy)]
struct Fp {
    f: u64,
    e: i32,
}

impl Fp {
    /// The product, rounded; exact to one unit in the last place.
    fn mul(self, other: Fp) -> Fp {
        let product = u128::from(self.f) * u128::from(other.f);
        Fp { f: ((product + (1 << 63)) >> 64) as u64, e: self.e + other.e + 64 }
    }

    fn sub(self, other: Fp) -> Fp {
        Fp { f: self.f - other.f, e: self.e }
    }

    fn normalized(self) -> Fp {
        let shift = self.f.leading_zeros();
        Fp { f: self.f << shift, e: self.e - shift as i32 }
    }

    /// The same number with a smaller exponent.
    fn with_exponent(self, e: i32) -> Fp {
        Fp { f: self.f << (self.e - e), e }
    }
}

/// Significands of `10^k` for `k` from -300 in steps of 8, rounded to 64 bits.
const POWERS: [u64; 79] = [
    0xAB70FE17C79AC6CA,
    0xFF77B1FCBEBCDC4F,
    0xBE5691EF416BD60C,
    0x8DD01FAD907FFC3C,
    0xD3515C2831559A83,
    0x9D71AC8FADA6C9B5,
    0xEA9C227723EE8BCB,
    0xAECC49914078536D,
    0x823C12795DB6CE57,
    0xC21094364DFB5637,
    0x9096EA6F3848984F,
    0xD77485CB25823AC7,
    0xA086CFCD97BF97F4,
    0xEF340A98172AACE5,
    0xB23867FB2A35B28E,
    0x84C8D4DFD2C63F3B,
    0xC5DD44271AD3CDBA,
    0x936B9FCEBB25C996,
    0xDBAC6C247D62A584,
    0xA3AB66580D5FDAF6,
    0xF3E2F893DEC3F126,
    0xB5B5ADA8AAFF80B8,
    0x87625F056C7C4A8B,
    0xC9BCFF6034C13053,
    0x964E858C91BA2655,
    0xDFF9772470297EBD,
    0xA6DFBD9FB8E5B88F,
    0xF8A95FCF88747D94,
    0xB94470938FA89BCF,
    0x8A08F0F8BF0F156B,
    0xCDB02555653131B6,
    0x993FE2C6D07B7FAC,
    0xE45C10C42A2B3B06,
    0xAA242499697392D3,
    0xFD87B5F28300CA0E,
    0xBCE5086492111AEB,
    0x8CBCCC096F5088CC,
    0xD1B71758E219652C,
    0x9C40000000000000,
    0xE8D4A51000000000,
    0xAD78EBC5AC620000,
    0x813F3978F8940984,
    0xC097CE7BC90715B3,
    0x8F7E32CE7BEA5C70,
    0xD5D238A4ABE98068,
    0x9F4F2726179A2245,
    0xED63A231D4C4FB27,
    0xB0DE65388CC8ADA8,
    0x83C7088E1AAB65DB,
    0xC45D1DF942711D9A,
    0x924D692CA61BE758,
    0xDA01EE641A708DEA,
    0xA26DA3999AEF774A,
    0xF209787BB47D6B85,
    0xB454E4A179DD1877,
    0x865B86925B9BC5C2,
    0xC83553C5C8965D3D,
    0x952AB45CFA97A0B3,
    0xDE469FBD99A05FE3,
    0xA59BC234DB398C25,
    0xF6C69A72A3989F5C,
    0xB7DCBF5354E9BECE,
    0x88FCF317F22241E2,
    0xCC20CE9BD35C78A5,
    0x98165AF37B2153DF,
    0xE2A0B5DC971F303A,
    0xA8D9D1535CE3B396,
    0xFB9B7CD9A4A7443C,
    0xBB764C4CA7A44410,
    0x8BAB8EEFB6409C1A,
    0xD01FEF10A657842C,
    0x9B10A4E5E9913129,
    0xE7109BFBA19C0C9D,
    0xAC2820D9623BF429,
    0x80444B5E7AA7CF85,
    0xBF21E44003ACDD2D,
    0x8E679C2F5E44FF8F,
    0xD433179D9C8CB841,
    0x9E19DB92B4E31BA9,
];

const FIRST_POWER: i32 = -300;
const POWER_STEP: i32 = 8;
/// The exponent that products are brought to lies between this and -32.
const ALPHA: i32 = -60;

/// The binary exponent of the 64-bit significand of `10^k`.
fn power_exponent(k: i32) -> i32 {
    // floor(k × log2(10)) - 63
    ((i64::from(k) * 3_652_498_566_964) >> 40) as i32 - 63
}

/// A cached power that brings a number with exponent `e` into the range of the digit generator.
fn cached_power(e: i32) -> (Fp, i32) {
    let f = ALPHA - e - 1;
    let k = f * 78_913 / (1 << 18) + i32::from(f > 0);
    let index = (-FIRST_POWER + k + POWER_STEP - 1) / POWER_STEP;
    let index = usize::try_from(index).unwrap_or(0).min(POWERS.len() - 1);
    let k = FIRST_POWER + POWER_STEP * index as i32;
    (Fp { f: POWERS[index], e: power_exponent(k) }, k)
}

/// The digits of a positive, finite number, and the exponent of ten that they are multiplied with.
pub(super) fn digits(value: f64) -> (Vec<u8>, i32) {
    let bits = value.to_bits();
    let (fraction, exponent) = (bits & ((1 << 52) - 1), (bits >> 52) as i32);
    let v = match exponent {
        0 => Fp { f: fraction, e: -1074 },
        _ => Fp { f: fraction | 1 << 52, e: exponent - 1075 },
    };
    // Half-way points to the neighbours; below a power of two the lower neighbour is nearer.
    let nearer = fraction == 0 && exponent > 1;
    let plus = Fp { f: 2 * v.f + 1, e: v.e - 1 }.normalized();
    let minus = if nearer { Fp { f: 4 * v.f - 1, e: v.e - 2 } } else { Fp { f: 2 * v.f - 1, e: v.e - 1 } };
    let (power, k) = cached_power(plus.e);
    let w = v.normalized().mul(power);
    let low = minus.with_exponent(plus.e).mul(power);
    let high = plus.mul(power);
    // One unit is taken off on both sides, because the products are rounded.
    let (low, high) = (Fp { f: low.f + 1, e: low.e }, Fp { f: high.f - 1, e: high.e });
    generate(low, w, high, -k)
}

fn generate(low: Fp, w: Fp, high: Fp, mut exponent: i32) -> (Vec<u8>, i32) {
    let mut out = Vec::with_capacity(17);
    let mut delta = high.sub(low).f;
    let mut distance = high.sub(w).f;
    let shift = -high.e as u32;
    let one = 1u64 << shift;
    let mut integral = (high.f >> shift) as u32;
    let mut fraction = high.f & (one - 1);
    let mut power = 1u32;
    let mut count = 1;
    while integral / power >= 10 {
        power *= 10;
        count += 1;
    }
    while count > 0 {
        out.push(b'0' + (integral / power) as u8);
        integral %= power;
        count -= 1;
        let rest = (u64::from(integral) << shift) + fraction;
        if rest <= delta {
            exponent += count;
            round(&mut out, distance, delta, rest, u64::from(power) << shift);
            return (out, exponent);
        }
        power /= 10;
    }
    loop {
        fraction *= 10;
        out.push(b'0' + (fraction >> shift) as u8);
        fraction &= one - 1;
        exponent -= 1;
        delta *= 10;
        distance *= 10;
        if fraction <= delta {
            round(&mut out, distance, delta, fraction, one);
            return (out, exponent);
        }
    }
}

/// Moves the last digit down while that comes nearer to the number.
fn round(out: &mut [u8], distance: u64, delta: u64, mut rest: u64, unit: u64) {
    let Some(last) = out.last_mut() else { return };
    while rest < distance
        && delta - rest >= unit
        && (rest + unit < distance || distance - rest > rest + unit - distance)
    {
        *last -= 1;
        rest += unit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_read_back() {
        let mut seed = 0x9E37_79B9_7F4A_7C15u64;
        for i in 0..200_000u64 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let value = f64::from_bits((seed ^ i) & !(1 << 63));
            if !value.is_finite() || value == 0.0 {
                continue;
            }
            let (digits, exponent) = digits(value);
            let text = format!("{}e{exponent}", String::from_utf8(digits).unwrap());
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{text}");
        }
    }

    #[test]
    fn simple_numbers() {
        for (value, expected) in [
            (1.0, ("1", 0)),
            (0.1, ("1", -1)),
            (123.456, ("123456", -3)),
            (5e-324, ("5", -324)),
            (f64::MAX, ("17976931348623157", 292)),
            // one of the numbers whose digits are not the shortest
            (1e23, ("9999999999999999", 7)),
        ] {
            let (digits, exponent) = digits(value);
            assert_eq!((std::str::from_utf8(&digits).unwrap(), exponent), expected);
        }
    }
}
