//! The one integration binary. Its modules mirror the rooms of the house.
