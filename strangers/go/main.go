// Reads a Trailseal trail with nothing but golang.org/x/mod/sumdb/note and .../tlog: other people's code.
//
//	check [-tiles TILES] DIR KEY[,KEY...] [PROOF]
//
// opens the checkpoint, hashes the tree from the tiles, proves lines of the plain segments to be its leaves,
// checks every kept checkpoint to be an earlier state of it, and checks a proof file, if one is given. Tiles are
// slices of DIR/tree, or the files in TILES, a folder that `trailseal tiles` wrote, with the checkpoint there.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func fail(format string, arguments ...any) {
	fmt.Printf("NO: "+format+"\n", arguments...)
	os.Exit(1)
}

// A reader of tiles that are files in the layout of C2SP tlog-tiles, which leaves the height out of Go's paths.
type files struct{ dir string }

func (files) Height() int { return 8 }

func (f files) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range wanted {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		data, err := os.ReadFile(filepath.Join(f.dir, path))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func (files) SaveTiles([]tlog.Tile, [][]byte) {}

// A reader of tiles that are slices of a trail's tree: one file a level, 32 bytes a hash.
type slices struct{ dir string }

func (slices) Height() int { return 8 }

func (s slices) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range wanted {
		level, err := os.Open(filepath.Join(s.dir, "tree", strconv.Itoa(tile.L)))
		if err != nil {
			return nil, err
		}
		data := make([]byte, tile.W*tlog.HashSize)
		_, err = level.ReadAt(data, tile.N*256*tlog.HashSize)
		level.Close()
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func (slices) SaveTiles([]tlog.Tile, [][]byte) {}

func open(text []byte, verifiers note.Verifiers, origin string) tlog.Tree {
	opened, err := note.Open(text, verifiers)
	if err != nil {
		fail("checkpoint: %v", err)
	}
	lines := strings.Split(opened.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || lines[0] != origin {
		fail("checkpoint: %q", opened.Text)
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		fail("checkpoint: %v", err)
	}
	return tlog.Tree{N: size, Hash: root}
}

func read(path string) []byte {
	data, err := os.ReadFile(path)
	if err != nil {
		fail("%v", err)
	}
	return data
}

func main() {
	tiles := flag.String("tiles", "", "a folder that `trailseal tiles` wrote")
	flag.Parse()
	dir := flag.Arg(0)
	var keys []note.Verifier
	for _, key := range strings.Split(flag.Arg(1), ",") {
		verifier, err := note.NewVerifier(key)
		if err != nil {
			fail("key: %v", err)
		}
		keys = append(keys, verifier)
	}
	verifiers, origin := note.VerifierList(keys...), keys[0].Name()
	var reader tlog.TileReader = slices{dir}
	newest := filepath.Join(dir, "checkpoint")
	if *tiles != "" {
		reader, newest = files{*tiles}, filepath.Join(*tiles, "checkpoint")
	}
	tree := open(read(newest), verifiers, origin)
	hashes := tlog.TileHashReader(tree, reader)
	root, err := tlog.TreeHash(tree.N, hashes)
	if err != nil || root != tree.Hash {
		fail("the tiles give the root %v, not %v: %v", root, tree.Hash, err)
	}
	checked := checkLines(dir, tree, hashes)
	kept, _ := filepath.Glob(filepath.Join(dir, "checkpoints", "*"))
	for _, path := range kept {
		old := open(read(path), verifiers, origin)
		if old.N == 0 || old.N > tree.N {
			continue
		}
		proof, err := tlog.ProveTree(tree.N, old.N, hashes)
		if err != nil || tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash) != nil {
			fail("the checkpoint of %d events is no earlier state: %v", old.N, err)
		}
	}
	if flag.NArg() > 2 {
		checkProof(read(flag.Arg(2)), verifiers, origin)
	}
	fmt.Printf("ok: %d events, %d lines proved, %d kept checkpoints\n", tree.N, checked, len(kept))
}

// Proves every 97th line of the segments, and the last one.
func checkLines(dir string, tree tlog.Tree, hashes tlog.HashReader) int {
	paths, _ := filepath.Glob(filepath.Join(dir, "segments", "*.jsonl"))
	sort.Strings(paths)
	checked := 0
	for at, path := range paths {
		index, err := strconv.ParseInt(strings.TrimSuffix(filepath.Base(path), ".jsonl"), 10, 64)
		if err != nil {
			fail("%s: %v", path, err)
		}
		end := tree.N
		if at+1 < len(paths) {
			next, _ := strconv.ParseInt(strings.TrimSuffix(filepath.Base(paths[at+1]), ".jsonl"), 10, 64)
			if next < end {
				end = next
			}
		}
		scanner := bufio.NewScanner(bytes.NewReader(read(path)))
		scanner.Buffer(make([]byte, 1<<20), 1<<20)
		for ; index < end && scanner.Scan(); index++ {
			if index%97 != 0 && index != end-1 {
				continue
			}
			proof, err := tlog.ProveRecord(tree.N, index, hashes)
			if err != nil || tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(scanner.Bytes())) != nil {
				fail("line %d is not leaf %d: %v", index, index, err)
			}
			checked++
		}
		if index != end {
			fail("%s ends before line %d", path, index)
		}
	}
	return checked
}

// Checks a c2sp.org/tlog-proof whose extra is the line.
func checkProof(text []byte, verifiers note.Verifiers, origin string) {
	head, checkpoint, found := bytes.Cut(text, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !found || lines[0] != "c2sp.org/tlog-proof@v1" || !strings.HasPrefix(lines[1], "extra ") {
		fail("proof: %q", lines[0])
	}
	line, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	if err != nil {
		fail("proof: %v", err)
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	if err != nil {
		fail("proof: %v", err)
	}
	var proof tlog.RecordProof
	for _, text := range lines[3:] {
		hash, err := tlog.ParseHash(text)
		if err != nil {
			fail("proof: %v", err)
		}
		proof = append(proof, hash)
	}
	tree := open(checkpoint, verifiers, origin)
	if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(line)); err != nil {
		fail("proof: %v", err)
	}
}
