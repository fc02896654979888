/* Runs the signatures of a SavedModel through TensorFlow's C API and compares their outputs with stored ones.
 *
 *     run_saved_model FOLDER MANIFEST
 *
 * The manifest has a word a line group: `signature NAME`, then `input OPERATION INDEX DTYPE NDIMS DIMS... FILE` and
 * `output OPERATION INDEX FILE` for each tensor, then `run`. Files hold the bytes of the tensors. Prints
 * `NAME DIFFERENCE SCALE` for each signature, the largest difference and the largest expected value of its outputs.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"

#define MAX_TENSORS 16

static void fail(const char* what, const char* why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static void* read_file(const char* path, size_t* size) {
  FILE* file = fopen(path, "rb");
  if (!file) fail(path, "cannot be read");
  fseek(file, 0, SEEK_END);
  *size = (size_t)ftell(file);
  rewind(file);
  void* content = malloc(*size ? *size : 1);
  if (fread(content, 1, *size, file) != *size) fail(path, "cannot be read");
  fclose(file);
  return content;
}

static TF_Output find(TF_Graph* graph, const char* operation, int index) {
  TF_Output output = {TF_GraphOperationByName(graph, operation), index};
  if (!output.oper) fail(operation, "is not in the graph");
  return output;
}

int main(int argc, char** argv) {
  if (argc != 3) fail("usage", "run_saved_model FOLDER MANIFEST");
  const char* tags[] = {"serve"};
  TF_Status* status = TF_NewStatus();
  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  TF_Session* session = TF_LoadSessionFromSavedModel(options, NULL, argv[1], tags, 1, graph, NULL, status);
  if (TF_GetCode(status) != TF_OK) fail(argv[1], TF_Message(status));

  FILE* manifest = fopen(argv[2], "r");
  if (!manifest) fail(argv[2], "cannot be read");
  char word[64], name[256] = "", operation[256], path[1024];
  TF_Output inputs[MAX_TENSORS], outputs[MAX_TENSORS];
  TF_Tensor *given[MAX_TENSORS], *got[MAX_TENSORS];
  float* expected[MAX_TENSORS];
  size_t sizes[MAX_TENSORS];
  int num_inputs = 0, num_outputs = 0, index;
  while (fscanf(manifest, "%63s", word) == 1) {
    if (!strcmp(word, "signature")) {
      if (fscanf(manifest, "%255s", name) != 1) fail("signature", "has no name");
    } else if (!strcmp(word, "input")) {
      int dtype, ndims;
      int64_t dims[8];
      size_t size;
      if (fscanf(manifest, "%255s %d %d %d", operation, &index, &dtype, &ndims) != 4) fail(name, "bad input");
      for (int i = 0; i < ndims; ++i) {
        long long dim;
        if (fscanf(manifest, "%lld", &dim) != 1) fail(name, "bad shape");
        dims[i] = dim;
      }
      if (fscanf(manifest, "%1023s", path) != 1) fail(name, "input without a file");
      void* content = read_file(path, &size);
      TF_Tensor* tensor = TF_AllocateTensor((TF_DataType)dtype, dims, ndims, size);
      if (TF_TensorByteSize(tensor) != size) fail(path, "has not the size of its shape");
      memcpy(TF_TensorData(tensor), content, size);
      free(content);
      inputs[num_inputs] = find(graph, operation, index);
      given[num_inputs++] = tensor;
    } else if (!strcmp(word, "output")) {
      if (fscanf(manifest, "%255s %d %1023s", operation, &index, path) != 3) fail(name, "bad output");
      outputs[num_outputs] = find(graph, operation, index);
      expected[num_outputs] = read_file(path, &sizes[num_outputs]);
      ++num_outputs;
    } else if (!strcmp(word, "run")) {
      TF_SessionRun(session, NULL, inputs, given, num_inputs, outputs, got, num_outputs, NULL, 0, NULL, status);
      if (TF_GetCode(status) != TF_OK) fail(name, TF_Message(status));
      double difference = 0, scale = 0;
      for (int i = 0; i < num_outputs; ++i) {
        if (TF_TensorType(got[i]) != TF_FLOAT) fail(name, "an output is not float32");
        if (TF_TensorByteSize(got[i]) != sizes[i]) fail(name, "an output has another size");
        const float* values = TF_TensorData(got[i]);
        for (size_t k = 0; k < sizes[i] / sizeof(float); ++k) {
          if (!isfinite(values[k])) fail(name, "an output is not finite");
          difference = fmax(difference, fabs((double)values[k] - expected[i][k]));
          scale = fmax(scale, fabs(expected[i][k]));
        }
        TF_DeleteTensor(got[i]);
        free(expected[i]);
      }
      for (int i = 0; i < num_inputs; ++i) TF_DeleteTensor(given[i]);
      printf("%s %.9g %.9g\n", name, difference, scale);
      num_inputs = num_outputs = 0;
    } else {
      fail(word, "is not known in a manifest");
    }
  }
  fclose(manifest);
  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  TF_DeleteSessionOptions(options);
  TF_DeleteGraph(graph);
  TF_DeleteStatus(status);
  return 0;
}
