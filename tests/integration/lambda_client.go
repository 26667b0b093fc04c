// A Lambda function written directly against the Runtime API, as Go's client library behaves:
// every answer is chunked with declared trailers, only 202 will do, a panic is reported and then
// ends the process.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	errorType = "Lambda-Runtime-Function-Error-Type"
	errorBody = "Lambda-Runtime-Function-Error-Body"
)

var api = "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/"

type frame struct {
	Path  string `json:"path"`
	Line  int    `json:"line"`
	Label string `json:"label"`
}

type failure struct {
	Message string  `json:"errorMessage"`
	Type    string  `json:"errorType"`
	Stack   []frame `json:"stackTrace,omitempty"`
}

type event struct {
	Do    string          `json:"do"`
	Value json.RawMessage `json:"value"`
	Count int             `json:"count"`
}

// tail sends its trailers' values once the body is read.
type tail struct {
	io.Reader
	request *http.Request
	failed  *failure
}

func (t *tail) Read(buffer []byte) (int, error) {
	count, err := t.Reader.Read(buffer)
	if err == io.EOF && t.failed != nil {
		told, _ := json.Marshal(t.failed)
		t.request.Trailer.Set(errorType, t.failed.Type)
		t.request.Trailer.Set(errorBody, base64.StdEncoding.EncodeToString(told))
	}
	return count, err
}

func post(url string, contentType string, body io.Reader, failed *failure) {
	request, _ := http.NewRequest(http.MethodPost, url, nil)
	request.Body = io.NopCloser(&tail{body, request, failed})
	request.Header.Set("Content-Type", contentType)
	request.Trailer = http.Header{errorType: nil, errorBody: nil}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, answer.Body)
	if answer.StatusCode != http.StatusAccepted {
		log.Fatalf("%s answered %d", url, answer.StatusCode)
	}
}

func report(url string, failed failure) {
	told, _ := json.Marshal(failed)
	request, _ := http.NewRequest(http.MethodPost, url+"/error", bytes.NewReader(told))
	request.Header.Set(errorType, failed.Type)
	answer, err := http.DefaultClient.Do(request)
	if err != nil || answer.StatusCode != http.StatusAccepted {
		log.Fatal(err, answer)
	}
	answer.Body.Close()
}

func serve(id string, body []byte, calls int) {
	url := api + id
	defer func() {
		if thrown := recover(); thrown != nil {
			stack := []frame{{"main.go", 7, "serve"}}
			report(url, failure{fmt.Sprint(thrown), "errorString", stack})
			log.Print("calling os.Exit(1)")
			os.Exit(1)
		}
	}()
	var asked event
	if err := json.Unmarshal(body, &asked); err != nil {
		panic(err)
	}
	switch asked.Do {
	case "echo":
		post(url+"/response", "application/json", bytes.NewReader(asked.Value), nil)
	case "calls":
		fmt.Printf("call %d\n", calls)
		post(url+"/response", "application/json", strings.NewReader(fmt.Sprint(calls)), nil)
	case "large":
		text := `"` + strings.Repeat("x", asked.Count-2) + `"`
		post(url+"/response", "application/json", strings.NewReader(text), nil)
	case "text":
		post(url+"/response", "application/octet-stream", strings.NewReader("just text"), nil)
	case "break off":
		failed := failure{"half way", "Function.BrokeOff", nil}
		post(url+"/response", "application/json", strings.NewReader(`{"half":`), &failed)
	case "error":
		report(url, failure{"not today", "Refusal", []frame{{"main.go", 1, "main"}}})
	case "sleep":
		time.Sleep(time.Duration(asked.Count) * time.Millisecond)
		post(url+"/response", "application/json", strings.NewReader("null"), nil)
	case "hang after":
		post(url+"/response", "application/json", strings.NewReader(`"answered"`), nil)
		time.Sleep(time.Hour)
	case "exit":
		os.Exit(asked.Count)
	default:
		panic("unknown: " + asked.Do)
	}
}

func main() {
	for calls := 1; ; calls++ {
		next, err := http.Get(api + "next")
		if err != nil {
			log.Fatal(err)
		}
		body, err := io.ReadAll(next.Body)
		next.Body.Close()
		if err != nil || next.StatusCode != http.StatusOK {
			log.Fatal(next.Status, err)
		}
		serve(next.Header.Get("Lambda-Runtime-Aws-Request-Id"), body, calls)
	}
}
