// Package report prints what an informer sees, one JSON object a line, for the scenario that started the program.
package report

import (
	"encoding/json"
	"os"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/cache"
)

// Line is an event, or the end of the first list with the names that the cache then holds.
type Line struct {
	// ADDED, MODIFIED, DELETED as in a watch, or SYNCED.
	Type   string            `json:"type"`
	Name   string            `json:"name,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	Names  []string          `json:"names,omitempty"`
}

var stdout sync.Mutex

// Print writes one line at once: handlers run beside the main goroutine.
func Print(line Line) {
	stdout.Lock()
	defer stdout.Unlock()
	// What is printed are strings alone, and a scenario that is gone has closed the pipe: nobody is left to tell.
	_ = json.NewEncoder(os.Stdout).Encode(line)
}

// Synced prints the names that a cache holds after its first list.
func Synced(names []string) {
	slices.Sort(names)
	Print(Line{Type: "SYNCED", Names: names})
}

// Handlers print every change. A relist hands over objects again that have not changed; those are no event.
func Handlers() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { print("ADDED", object) },
		UpdateFunc: func(before, after any) {
			if versionOf(before) != versionOf(after) {
				print("MODIFIED", after)
			}
		},
		DeleteFunc: func(object any) {
			// The informer was cut off and learnt of the deletion from a list: it has only the last known state.
			if unknown, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = unknown.Obj
			}
			print("DELETED", object)
		},
	}
}

func print(event string, object any) {
	accessor, err := meta.Accessor(object)
	if err != nil {
		Print(Line{Type: "ERROR", Name: err.Error()})
		return
	}
	Print(Line{Type: event, Name: accessor.GetName(), Labels: accessor.GetLabels()})
}

func versionOf(object any) string {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return ""
	}
	return accessor.GetResourceVersion()
}
