// Prints the conformance tests of CEL, which come with the module cel.dev/expr as text, as JSON:
// an object with the file's name and the message cel.expr.conformance.test.SimpleTestFile, one on each line.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	_ "cel.dev/expr/conformance/proto2"
	_ "cel.dev/expr/conformance/proto3"
	"cel.dev/expr/conformance/test"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"
)

func main() {
	files, err := filepath.Glob(filepath.Join(os.Args[1], "*.textproto"))
	if err != nil || len(files) == 0 {
		fail("no tests below "+os.Args[1], err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			fail(file, err)
		}
		tests := &test.SimpleTestFile{}
		if err := prototext.Unmarshal(text, tests); err != nil {
			fail(file, err)
		}
		document, err := protojson.Marshal(tests)
		if err != nil {
			fail(file, err)
		}
		fmt.Printf("{\"file\": %q, \"tests\": %s}\n", strings.TrimSuffix(filepath.Base(file), ".textproto"), document)
	}
}

func fail(what string, err error) {
	fmt.Fprintln(os.Stderr, what, err)
	os.Exit(1)
}
