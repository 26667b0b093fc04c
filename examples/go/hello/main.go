// A light function: it greets and counts how often its process was used. Sources like these are
// compiled on the first call; with github.com/aws/aws-lambda-go, vendored, the loop is lambda.Start.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
)

type event struct{ Name string }

func main() {
	api := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/"
	for calls := 1; ; calls++ {
		next, err := http.Get(api + "next")
		if err != nil {
			log.Fatal(err)
		}
		var asked event
		err = json.NewDecoder(next.Body).Decode(&asked)
		next.Body.Close()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("greeting", asked.Name)
		output := fmt.Sprintf(`{"greeting": "Hello, %s!", "calls": %d}`, asked.Name, calls)
		url := api + next.Header.Get("Lambda-Runtime-Aws-Request-Id") + "/response"
		answer, err := http.Post(url, "application/json", strings.NewReader(output))
		if err != nil {
			log.Fatal(err)
		}
		answer.Body.Close()
	}
}
