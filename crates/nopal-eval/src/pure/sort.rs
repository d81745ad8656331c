//! The order of numbers and of texts; and for whatever else `builtins.sort` may be given, the stable merge sort peeksort
//! (Munro and Wild 2018) in Nix's variant, so that even a comparator that is not an order gives Nix's result and the
//! comparator is called for the same pairs in the same order. The comparator may fail, which ends the sort with some
//! permutation of the input.

use nopal_format::bytes::prefix;

/// Which of two comes first.
#[derive(Clone, Copy)]
pub enum Order {
    /// The lesser one.
    Ascending,
    /// The greater one.
    Descending,
}

impl Order {
    /// A sort key that is as large as the number for [`Order::Ascending`] with the place below it, so that of equal
    /// numbers the one that was first stays first.
    fn key(self, number: u64, place: usize) -> u128 {
        let number = match self {
            Order::Ascending => number,
            Order::Descending => !number,
        };
        u128::from(number) << 64 | place as u128
    }
}

/// The places of numbers, in the order of these; those of equal ones are ascending.
pub fn order_of_numbers(numbers: &[i64], order: Order) -> Vec<usize> {
    let unsigned = |number: i64| number.cast_unsigned() ^ 1 << 63;
    let mut keys: Vec<u128> =
        numbers.iter().enumerate().map(|(place, number)| order.key(unsigned(*number), place)).collect();
    keys.sort_unstable();
    keys.into_iter().map(|key| key as usize).collect()
}

/// The places of `count` texts, in the order of these; those of equal ones are ascending. Most are told apart by their
/// first eight bytes.
pub fn order_of_texts<'a>(count: usize, text: impl Fn(usize) -> &'a [u8], order: Order) -> Vec<usize> {
    let mut keys: Vec<u128> = (0..count).map(|place| order.key(prefix(text(place)), place)).collect();
    keys.sort_unstable();
    for alike in keys.chunk_by_mut(|a, b| a >> 64 == b >> 64).filter(|alike| alike.len() > 1) {
        alike.sort_by(|a, b| {
            let ascending = text(*a as usize).cmp(text(*b as usize));
            match order {
                Order::Ascending => ascending,
                Order::Descending => ascending.reverse(),
            }
        });
    }
    keys.into_iter().map(|key| key as usize).collect()
}

/// Segments up to this length are sorted by insertion.
const INSERTION: usize = 16;

/// Sorts `items` so that `less(b, a)` holds for no neighbours `a`, `b` if `less` is a strict weak order.
pub fn sort<T: Clone, E>(items: &mut [T], mut less: impl FnMut(&T, &T) -> Result<bool, E>) -> Result<(), E> {
    let n = items.len();
    if n < 2 {
        return Ok(());
    }
    if n == 2 {
        if less(&items[1], &items[0])? {
            items.swap(0, 1);
        }
        return Ok(());
    }
    let mut sorter = Sorter { items, buffer: Vec::with_capacity(n), less: &mut less };
    sorter.segment(0, n, 0, n)
}

struct Sorter<'a, T, F> {
    items: &'a mut [T],
    buffer: Vec<T>,
    less: &'a mut F,
}

impl<T: Clone, E, F: FnMut(&T, &T) -> Result<bool, E>> Sorter<'_, T, F> {
    /// Sorts `begin..end`, of which `begin..left` and `right..end` are sorted. The depth of the recursion is
    /// logarithmic for random input and at most the number of runs' logarithm otherwise.
    fn segment(&mut self, begin: usize, end: usize, left: usize, right: usize) -> Result<(), E> {
        if left == end || right == begin {
            return Ok(());
        }
        let length = end - begin;
        if length <= INSERTION {
            return self.insertion(begin, end);
        }
        let middle = begin + length / 2;
        if middle <= left {
            self.segment(left, end, left + 1, right)?;
            return self.merge(begin, left, end);
        }
        if middle >= right {
            self.segment(begin, right, left, right - 1)?;
            return self.merge(begin, right, end);
        }
        let descending = (self.less)(&self.items[middle], &self.items[middle - 1])?;
        let i = self.run_start(left, middle, descending)?;
        let j = self.run_end(middle - 1, right, descending)?;
        if descending {
            self.items[i..j].reverse();
        }
        if i == begin && j == end {
            return Ok(());
        }
        if middle - i < j - middle {
            self.segment(begin, i, left, i.saturating_sub(1))?;
            self.segment(i, end, j, right)?;
            self.merge(begin, i, end)
        } else {
            self.segment(begin, j, left, i)?;
            self.segment(j, end, j + 1, right)?;
            self.merge(begin, j, end)
        }
    }

    /// The start of the run that ends at `end`, not before `begin`.
    fn run_start(&mut self, begin: usize, mut end: usize, descending: bool) -> Result<usize, E> {
        if begin == end {
            return Ok(end);
        }
        while end - 1 > begin && (self.less)(&self.items[end - 1], &self.items[end - 2])? == descending {
            end -= 1;
        }
        Ok(end - 1)
    }

    /// The end of the run that starts at `begin`, not behind `end`.
    fn run_end(&mut self, mut begin: usize, end: usize, descending: bool) -> Result<usize, E> {
        if begin == end {
            return Ok(begin);
        }
        while begin + 1 != end && (self.less)(&self.items[begin + 1], &self.items[begin])? == descending {
            begin += 1;
        }
        Ok(begin + 1)
    }

    fn insertion(&mut self, begin: usize, end: usize) -> Result<(), E> {
        for current in begin + 1..end {
            let mut at = current;
            while at != begin && (self.less)(&self.items[at], &self.items[at - 1])? {
                self.items.swap(at, at - 1);
                at -= 1;
            }
        }
        Ok(())
    }

    fn merge(&mut self, begin: usize, middle: usize, end: usize) -> Result<(), E> {
        self.buffer.clear();
        self.buffer.extend_from_slice(&self.items[begin..end]);
        let split = middle - begin;
        let (mut l, mut r) = (0, split);
        let mut out = begin;
        while l != split && r != self.buffer.len() {
            let from = if (self.less)(&self.buffer[r], &self.buffer[l])? { &mut r } else { &mut l };
            self.items[out].clone_from(&self.buffer[*from]);
            *from += 1;
            out += 1;
        }
        // One of the halves is used up; `r`'s rest is in place unless `l` has one.
        for rest in self.buffer[l..split].iter().chain(&self.buffer[r..]) {
            self.items[out].clone_from(rest);
            out += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn sorted(mut items: Vec<i32>) -> Vec<i32> {
        sort(&mut items, |a, b| Ok::<_, Infallible>(a < b)).unwrap();
        items
    }

    #[test]
    fn agrees_with_the_standard_library() {
        let mut seed = 12345u32;
        for n in 0..300 {
            let items: Vec<i32> = (0..n)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (seed >> 20) as i32 % 50
                })
                .collect();
            let mut expected = items.clone();
            expected.sort();
            assert_eq!(sorted(items), expected);
        }
        assert_eq!(sorted((0..1000).rev().collect()), (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn is_stable() {
        let mut items: Vec<(i32, usize)> = (0..500).map(|i| ((i * 7 % 5) as i32, i)).collect();
        sort(&mut items, |a, b| Ok::<_, Infallible>(a.0 < b.0)).unwrap();
        assert!(items.windows(2).all(|w| w[0] < w[1]));
    }

    /// Values of Nix 2.34.8.
    #[test]
    fn inconsistent_comparators() {
        let mut items = vec![3, 1, 2];
        sort(&mut items, |_, _| Ok::<_, Infallible>(true)).unwrap();
        assert_eq!(items, [2, 1, 3]);
        for n in 0..200 {
            let mut items: Vec<usize> = (0..n).collect();
            let mut flip = 0usize;
            sort(&mut items, |a, b| {
                flip = flip.wrapping_mul(31).wrapping_add(a ^ b);
                Ok::<_, Infallible>(flip.is_multiple_of(3))
            })
            .unwrap();
            items.sort_unstable();
            assert_eq!(items, (0..n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_stops_the_sort() {
        let mut items: Vec<i32> = (0..100).rev().collect();
        assert_eq!(sort(&mut items, |_, _| Err::<bool, _>("no")), Err("no"));
    }
}
