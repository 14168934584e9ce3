// Package house holds the imports of every room to the plan of the house: which
// of our packages it may know, and which technology it may touch.
package house
