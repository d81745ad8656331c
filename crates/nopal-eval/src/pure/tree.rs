//! A red-black tree of numbered keys that compares the same pairs of keys as libstdc++'s `std::map`, which is visible
//! where a comparison can fail. The comparator is the caller's and may fail; the tree then stays as it was.

const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Node {
    key: u32,
    red: bool,
    parent: u32,
    left: u32,
    right: u32,
}

/// The tree. Keys are numbers that mean something to the caller's comparator.
#[derive(Debug)]
pub struct Tree {
    nodes: Vec<Node>,
    root: u32,
}

impl Default for Tree {
    fn default() -> Self {
        Tree { nodes: Vec::new(), root: NONE }
    }
}

impl Tree {
    /// Inserts a key unless an equivalent one is present; says whether it was inserted.
    pub fn insert<E>(&mut self, key: u32, mut less: impl FnMut(u32, u32) -> Result<bool, E>) -> Result<bool, E> {
        let (mut parent, mut at, mut left) = (NONE, self.root, true);
        while at != NONE {
            parent = at;
            left = less(key, self.node(at).key)?;
            at = if left { self.node(at).left } else { self.node(at).right };
        }
        if parent != NONE {
            let before = if left { self.predecessor(parent) } else { Some(parent) };
            if let Some(before) = before
                && !less(self.node(before).key, key)?
            {
                return Ok(false);
            }
        }
        let id = self.nodes.len() as u32;
        self.nodes.push(Node { key, red: true, parent, left: NONE, right: NONE });
        if parent == NONE {
            self.root = id;
        } else if left {
            self.node_mut(parent).left = id;
        } else {
            self.node_mut(parent).right = id;
        }
        self.rebalance(id);
        Ok(true)
    }

    /// All keys, least first.
    pub fn in_order(&self) -> Vec<u32> {
        let mut out = Vec::with_capacity(self.nodes.len());
        let mut stack = Vec::new();
        let mut at = self.root;
        loop {
            while at != NONE {
                stack.push(at);
                at = self.node(at).left;
            }
            let Some(next) = stack.pop() else { return out };
            out.push(self.node(next).key);
            at = self.node(next).right;
        }
    }

    fn node(&self, id: u32) -> Node {
        self.nodes[id as usize]
    }

    fn node_mut(&mut self, id: u32) -> &mut Node {
        &mut self.nodes[id as usize]
    }

    fn predecessor(&self, id: u32) -> Option<u32> {
        let mut at = self.node(id).left;
        if at != NONE {
            while self.node(at).right != NONE {
                at = self.node(at).right;
            }
            return Some(at);
        }
        let (mut child, mut at) = (id, self.node(id).parent);
        while at != NONE && self.node(at).left == child {
            (child, at) = (at, self.node(at).parent);
        }
        (at != NONE).then_some(at)
    }

    fn rotate(&mut self, id: u32, to_left: bool) {
        let node = self.node(id);
        let up = if to_left { node.right } else { node.left };
        let inner = if to_left { self.node(up).left } else { self.node(up).right };
        if to_left {
            self.node_mut(id).right = inner;
            self.node_mut(up).left = id;
        } else {
            self.node_mut(id).left = inner;
            self.node_mut(up).right = id;
        }
        if inner != NONE {
            self.node_mut(inner).parent = id;
        }
        self.node_mut(up).parent = node.parent;
        self.node_mut(id).parent = up;
        if node.parent == NONE {
            self.root = up;
        } else if self.node(node.parent).left == id {
            self.node_mut(node.parent).left = up;
        } else {
            self.node_mut(node.parent).right = up;
        }
    }

    fn rebalance(&mut self, mut id: u32) {
        loop {
            let parent = self.node(id).parent;
            if parent == NONE || !self.node(parent).red {
                break;
            }
            let grand = self.node(parent).parent;
            if grand == NONE {
                break;
            }
            let parent_is_left = self.node(grand).left == parent;
            let uncle = if parent_is_left { self.node(grand).right } else { self.node(grand).left };
            if uncle != NONE && self.node(uncle).red {
                self.node_mut(parent).red = false;
                self.node_mut(uncle).red = false;
                self.node_mut(grand).red = true;
                id = grand;
                continue;
            }
            let inner = if parent_is_left { self.node(parent).right == id } else { self.node(parent).left == id };
            let top = if inner {
                self.rotate(parent, parent_is_left);
                id
            } else {
                parent
            };
            self.node_mut(top).red = false;
            self.node_mut(grand).red = true;
            self.rotate(grand, !parent_is_left);
            break;
        }
        let root = self.root;
        self.node_mut(root).red = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    #[test]
    fn keeps_order_and_uniqueness() {
        let keys: Vec<u32> = (0..500u32).map(|i| i.wrapping_mul(2_654_435_761) % 331).collect();
        let mut tree = Tree::default();
        for &key in &keys {
            tree.insert(key, |a, b| Ok::<_, Infallible>(a < b)).unwrap();
        }
        let mut expected = keys;
        expected.sort_unstable();
        expected.dedup();
        assert_eq!(tree.in_order(), expected);
    }

    #[test]
    fn is_balanced() {
        let mut tree = Tree::default();
        let mut most = 0;
        for key in 0..10_000 {
            let mut calls = 0;
            tree.insert(key, |a, b| {
                calls += 1;
                Ok::<_, Infallible>(a < b)
            })
            .unwrap();
            most = most.max(calls);
        }
        assert!(most < 30, "{most} comparisons");
    }

    #[test]
    fn a_failing_comparison_leaves_the_tree() {
        let mut tree = Tree::default();
        tree.insert(1, |_, _| Err::<bool, ()>(())).unwrap();
        assert!(tree.insert(2, |_, _| Err::<bool, ()>(())).is_err());
        assert_eq!(tree.in_order(), [1]);
    }
}
